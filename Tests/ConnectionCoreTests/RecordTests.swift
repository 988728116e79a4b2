/// Opened records whose numbers no program of ours writes: told or left out, and nothing stops for them.
import FHIRControl
import SMARTProtocol
import Testing

@testable import ConnectionCore

@Suite struct RecordTests {
  private let connection = ConnectionID(high: 1, low: 2)

  private func grant(_ add: (inout RecordWriter) -> Void) throws -> GrantRecord {
    var out = RecordWriter()
    out.put(1, connection.bytes)
    out.put(3, [2])
    add(&out)
    return try out.bytes.withUnsafeBytes { try GrantRecord($0) }
  }

  @Test(arguments: [UInt64.max, UInt64(Int64.max) + 1])
  func `a count beyond any is the largest there is`(count: UInt64) throws {
    let record = try grant {
      $0.put(7, count)
      $0.put(17, count)
      $0.put(11, ErrorCode.invalidParams.rawValue)
      $0.put(14, count)
    }
    #expect(record.failures == Int.max && record.lostReplies == Int.max && record.lastError?.attempts == Int.max)
  }

  @Test(arguments: [Int64.min, Int64.max])
  func `a time that no clock says counts as absent`(milliseconds: Int64) throws {
    let time = UInt64(bitPattern: milliseconds).littleEndianBytes
    let record = try grant {
      $0.put(5, time + time + time)
      $0.put(6, milliseconds)
      $0.put(23, milliseconds)
    }
    #expect(record.expiresAt == nil && record.lifetime == .zero && record.authorizedAt == nil)
  }

  @Test func `missing scopes are stored one by one, whatever stands in them`() throws {
    var record = GrantRecord(connection: connection, subject: "")
    record.missingScope = ScopeSet("a \u{301}b").scopes
    #expect(record.missingScope.count == 2)
    #expect(try record.encoded.withUnsafeBytes { try GrantRecord($0) } == record)
  }

  @Test(arguments: [0, 16, 24, 32])
  func `a served token with such a time does not open`(offset: Int) {
    let token = ServedToken(
      expiresAt: Instant(milliseconds: 1), bootID: .max, expiresAtWall: Timestamp(milliseconds: 2),
      obtainedAtWall: Timestamp(milliseconds: 3), lifetime: .seconds(4))
    var bytes = token.header + Array("\"access_token\":\"a\"".utf8)
    #expect(bytes.withUnsafeBytes { ServedToken($0) } != nil)
    bytes.replaceSubrange(offset..<offset + 8, with: UInt64(bitPattern: Int64.min).littleEndianBytes)
    #expect(bytes.withUnsafeBytes { ServedToken($0) } == nil)
  }
}
