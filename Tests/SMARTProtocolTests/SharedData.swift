/// Finds the sample documents that the tests read: `$FHIRD_SHARED`, or the folder `shared` beside the repository.
import Foundation

enum SharedData {
  static let directory: String? = {
    let beside = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().appending(path: "shared").path
    let candidates = [ProcessInfo.processInfo.environment["FHIRD_SHARED"], beside].compactMap { $0 }
    return candidates.first { FileManager.default.fileExists(atPath: $0 + "/data") }
  }()
  static var isPresent: Bool { directory != nil }
  static let absence = "no sample data: set FHIRD_SHARED"

  static func bytes(_ path: String) throws -> [UInt8] {
    try Array(Data(contentsOf: URL(filePath: (directory ?? "") + "/data/" + path)))
  }

  /// Every file of a folder, with its name.
  static func all(_ folder: String) throws -> [(name: String, bytes: [UInt8])] {
    try FileManager.default.contentsOfDirectory(atPath: (directory ?? "") + "/data/" + folder).sorted()
      .map { ($0, try bytes(folder + "/" + $0)) }
  }
}
