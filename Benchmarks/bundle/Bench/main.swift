/// Reads the Bundle in a file in pieces of 64 KiB, five times; prints the best time in seconds and the entries.
import FHIRInteraction
import FoundationEssentials
import Glibc

guard CommandLine.arguments.count == 2, let data = FileManager.default.contents(atPath: CommandLine.arguments[1]) else {
  print("usage: bundle-bench FILE")
  exit(64)
}
let bytes = Array(data)
let piece = 64 << 10
var best = Duration.seconds(3600)
var entries = 0
for _ in 0..<5 {
  let time = try ContinuousClock().measure {
    var reader = BundleReader()
    var tally = PageTally()
    for at in stride(from: 0, to: bytes.count, by: piece) {
      for entry in try reader.feed(Array(bytes[at..<min(at + piece, bytes.count)])) { tally.add(entry) }
    }
    entries = try reader.finish().entries
  }
  best = min(best, time)
}
print(Double(best.components.seconds) + Double(best.components.attoseconds) / 1e18, entries)
