/// The one place where configuration meets the file system.
import FoundationEssentials

extension ConfigurationFileText {
  /// Reads a whole file; a file that is not there is no error here.
  package static func read(_ path: String) -> ConfigurationFileText {
    do {
      let data = try Data(contentsOf: URL(filePath: path))
      guard data.count <= EnvironmentFile.bytesMax else {
        return .unreadable("it is longer than \(EnvironmentFile.bytesMax) bytes")
      }
      guard let text = String(validating: data, as: UTF8.self) else { return .unreadable("it is not UTF-8") }
      return .text(text)
    } catch let error as CocoaError where error.code == .fileReadNoSuchFile || error.code == .fileNoSuchFile {
      return .absent
    } catch let error as CocoaError where error.code == .fileReadNoPermission {
      return .unreadable("permission denied")
    } catch {
      return .unreadable("it cannot be opened")
    }
  }
}
