/// The answer of a device authorization endpoint: what RFC 8628 says, what servers leave out, and what is none.
import Testing

@testable import SMARTProtocol

@Suite struct DeviceAuthorizationTests {
  private func read(_ body: String, status: Int = 200) -> Result<DeviceAuthorization, TokenRefusal> {
    DeviceAuthorization.read(status: status, header: { _ in nil }, body: Array(body.utf8), allowInsecureLoopback: false)
  }

  @Test func `R5.17 the answer of RFC 8628 is read`() throws {
    let device = try read(
      """
      {"device_code":"GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS","user_code":"WDJB-MJHT",
      "verification_uri":"https://example.com/device","verification_uri_complete":"https://example.com/device?user_code=WDJB-MJHT",
      "expires_in":1800,"interval":5}
      """
    ).get()
    #expect(device.userCode == "WDJB-MJHT")
    #expect(device.verificationURIComplete == "https://example.com/device?user_code=WDJB-MJHT")
    #expect(device.interval == .seconds(5) && device.lifetime == .seconds(1800))
    #expect(!"\(device)".contains("GmRhm"), "R1.06")
  }

  @Test func `R5.17 what is left out has RFC 8628's default, and odd numbers their bounds`() throws {
    let core = #""device_code":"d","user_code":"u","verification_url":"https://e/d""#
    #expect(try read("{\(core)}").get().interval == .seconds(5))
    #expect(try read("{\(core),\"interval\":\"7\"}").get().interval == .seconds(7))
    for odd in ["0", "-3", "1e300", "null", "[]", "\"\""] {
      let device = try read("{\(core),\"interval\":\(odd),\"expires_in\":\(odd)}").get()
      #expect(device.interval > .zero && device.interval <= DeviceAuthorization.intervalMax)
      #expect(device.lifetime > .zero && device.lifetime <= DeviceAuthorization.lifetimeMax)
    }
  }

  @Test(arguments: [
    "", "{}", "<html>", #"{"device_code":"d"}"#, #"{"device_code":"d","user_code":"u"}"#,
    #"{"device_code":"d","user_code":"u","verification_uri":"javascript:alert(1)"}"#,
    #"{"device_code":"d","user_code":"u","verification_uri":"http://as.example/d"}"#,
    #"{"error":"unauthorized_client","device_code":"d","user_code":"u","verification_uri":"https://e/d"}"#,
  ])
  func `R5.17 what is no such answer is told and not taken`(body: String) {
    guard case .failure(let refusal) = read(body) else {
      Issue.record("taken: \(body)")
      return
    }
    #expect(!refusal.sentence.isEmpty)
  }
}
