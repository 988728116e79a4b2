/// Says sizes as people do: "1.2 MiB".

enum ByteText {
  static func of(_ bytes: Int) -> String {
    guard let (unit, size) = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)].first(where: { bytes >= $0.1 })
    else {
      return "\(bytes) bytes"
    }
    let tenths = bytes / (size / 10)
    return tenths % 10 == 0 || tenths >= 1000 ? "\(tenths / 10) \(unit)" : "\(tenths / 10).\(tenths % 10) \(unit)"
  }
}
