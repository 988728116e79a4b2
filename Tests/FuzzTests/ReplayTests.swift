/// What the fuzz targets assert, without a fuzzer: on every seed, and on some hundred damaged copies of each. `make fuzz`
/// looks much further; this keeps its properties and seeds sound in every run of the tests.
import Testing

extension FuzzTarget: CustomTestStringConvertible {
  package var testDescription: String { name }
}

@Suite struct ReplayTests {
  @Test func `every target has a name of its own, seeds and words`() {
    #expect(Set(FuzzTarget.all.map(\.name)).count == FuzzTarget.all.count)
    for target in FuzzTarget.all {
      #expect(!target.seeds.isEmpty && !target.words.isEmpty && FuzzTarget.named(target.name) != nil)
      #expect(target.seeds.allSatisfy { $0.count <= target.bytesMax }, "a seed of \(target.name) is too long")
    }
  }

  @Test(arguments: FuzzTarget.all)
  func `the properties hold for every seed and for damaged copies of it`(target: FuzzTarget) throws {
    /// Damaged copies of one seed; a second or two for all targets.
    let copies = 200
    var damage = Damage(seed: 1)
    for seed in target.seeds {
      try target.check(seed)
      for _ in 0..<copies {
        let bytes = Array(damage.done(to: seed, words: target.words).prefix(target.bytesMax))
        do { try target.check(bytes) } catch { Issue.record("\(target.name): \(error): \(bytes)") }
      }
    }
  }
}

/// A seeded generator and a few ways to damage: the same copies in every run.
private struct Damage {
  /// SplitMix64.
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  private mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  private mutating func below(_ bound: Int) -> Int { bound <= 0 ? 0 : Int(next() % UInt64(bound)) }

  mutating func done(to seed: [UInt8], words: [String]) -> [UInt8] {
    var bytes = seed
    for _ in 0...below(3) {
      let at = below(bytes.count + 1)
      switch below(5) {
      case 0: if at < bytes.count { bytes[at] = UInt8(truncatingIfNeeded: next()) }
      case 1: bytes.removeSubrange(at..<min(bytes.count, at + 1 + below(8)))
      case 2: bytes.insert(contentsOf: words[below(words.count)].utf8, at: at)
      case 3:
        bytes.insert(contentsOf: Array(bytes[at..<min(bytes.count, at + 1 + below(40))]), at: below(bytes.count + 1))
      default: bytes.insert(UInt8(truncatingIfNeeded: next()), at: at)
      }
    }
    return bytes
  }
}
