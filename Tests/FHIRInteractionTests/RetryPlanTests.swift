/// When a request is sent again, through what happened and what is done next.
import FHIRInteraction
import SMARTProtocol
import TestSupport
import Testing

private func at(_ seconds: Int64) -> Instant { Instant(milliseconds: 1_000_000 + seconds * 1000) }

private func reply(_ status: Int, _ headers: [String: String] = [:], _ body: String = "") -> FHIRReply {
  FHIRReply(
    status: status, header: { name in headers.first { $0.key.lowercased() == name.lowercased() }?.value },
    body: Array(body.utf8), to: .init(), now: 1_795_000_000_000)
}

private func plan(
  _ repeatability: FHIRRequest.Repeatability = .safe, hasToken: Bool = true, limits: RetryPlan.Limits = .init()
) -> RetryPlan { RetryPlan(repeatability, hasToken: hasToken, limits: limits, startedAt: at(0)) }

@Suite struct RetryPlanTests {
  @Test(arguments: [FHIRRequest.Repeatability.safe, .idempotent, .never])
  func `R7.09 after a 401 the token is replaced once and the request sent once more`(
    repeatability: FHIRRequest.Repeatability
  ) {
    var plan = plan(repeatability)
    let refused = reply(401, ["WWW-Authenticate": "Bearer error=\"invalid_token\""])
    #expect(plan.replied(refused, at: at(1), chance: 0) == .refreshToken)
    #expect(plan.tokenRefreshed(at: at(2)) == .send(after: .zero))
    #expect(plan.replied(refused, at: at(3), chance: 0) == .deliver(.tokenRefused))
    #expect(plan.attempts == 2)
  }

  @Test func `R7.09 a 401 without a word is tried once, as is one that means 403 (quirk 8)`() {
    var plan = plan()
    #expect(plan.replied(reply(401, [:], "<html>"), at: at(1), chance: 0) == .refreshToken)
    #expect(plan.tokenRefreshed(at: at(1)) == .send(after: .zero))
    #expect(plan.replied(reply(200), at: at(2), chance: 0) == .deliver(.final))
  }

  @Test func `R7.09 neither a 403 nor a 401 for want of scope costs a refresh`() {
    var plan = plan()
    #expect(plan.replied(reply(403), at: at(1), chance: 0) == .deliver(.final))
    var scope = RetryPlan(.safe, hasToken: true, startedAt: at(0))
    #expect(
      scope.replied(reply(401, ["WWW-Authenticate": "Bearer error=\"insufficient_scope\""]), at: at(1), chance: 0)
        == .deliver(.final))
    var open = RetryPlan(.safe, hasToken: false, startedAt: at(0))
    #expect(open.replied(reply(401), at: at(1), chance: 0) == .deliver(.final))
  }

  @Test func `R7.09 a refresh that fails ends it with the 401`() {
    var plan = plan()
    _ = plan.replied(reply(401), at: at(1), chance: 0)
    #expect(plan.refreshFailed() == .deliver(.tokenRefused))
    #expect(plan.tokenRefreshed(at: at(2)) == .deliver(.tokenRefused))
  }

  @Test(arguments: [429, 502, 503, 504, 500, 408])
  func `R9.12 after trouble only what may be sent twice is sent twice`(status: Int) {
    for (repeatability, repeats) in [(FHIRRequest.Repeatability.safe, true), (.idempotent, true), (.never, false)] {
      var plan = plan(repeatability)
      let action = plan.replied(reply(status), at: at(1), chance: 0)
      #expect(action == (repeats ? .send(after: .milliseconds(250)) : .deliver(.notRepeatable)))
    }
  }

  @Test(arguments: [400, 404, 409, 410, 412, 422, 501, 505, 200, 304])
  func `R9.12 what another try would not change is final`(status: Int) {
    var plan = plan()
    #expect(plan.replied(reply(status), at: at(1), chance: 0) == .deliver(.final))
  }

  @Test func `R9.12 a 500 with an OperationOutcome was thought about`() {
    var plan = plan()
    let answer = reply(500, [:], "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\"}]}")
    #expect(plan.replied(answer, at: at(1), chance: 0) == .deliver(.final))
  }

  @Test func `R9.12 what was never sent may be sent, whatever it does`() {
    var post = plan(.never)
    #expect(
      post.failed(mayHaveBeenSent: false, isTransient: true, at: at(1), chance: 0) == .send(after: .milliseconds(250)))
    #expect(post.failed(mayHaveBeenSent: true, isTransient: true, at: at(2), chance: 0) == .deliver(.notRepeatable))
    var read = plan()
    #expect(
      read.failed(mayHaveBeenSent: true, isTransient: true, at: at(1), chance: 0) == .send(after: .milliseconds(250)))
    #expect(read.failed(mayHaveBeenSent: false, isTransient: false, at: at(1), chance: 0) == .deliver(.final))
  }

  @Test func `R9.11 the server's pause is kept, with a little on top`() {
    for headers in [["Retry-After": "20"], ["x-ms-retry-after-ms": "20000"], ["RateLimit-Reset": "20"]] {
      var plan = plan()
      #expect(plan.replied(reply(429, headers), at: at(1), chance: 0.5) == .send(after: .milliseconds(20_500)))
    }
  }

  @Test func `R9.11 without a word the pauses double, by chance shorter, up to a cap`() {
    var plan = plan(limits: .init(attempts: 9, total: .seconds(1000)))
    var waits: [Int64] = []
    for _ in 0..<8 {
      if case .send(let wait) = plan.replied(reply(503), at: at(1), chance: 0.999_999) {
        waits.append(wait.milliseconds)
      }
    }
    #expect(waits == [499, 999, 1999, 3999, 7999, 15_999, 29_999, 29_999])
    var early = RetryPlan(.safe, hasToken: true, startedAt: at(0))
    #expect(early.replied(reply(503), at: at(1), chance: 0) == .send(after: .milliseconds(250)))
  }

  @Test func `R9.11 attempts and time are bounded, the refresh among them`() {
    var tries = plan(limits: .init(attempts: 2))
    #expect(tries.replied(reply(503), at: at(1), chance: 0) == .send(after: .milliseconds(250)))
    #expect(tries.replied(reply(503), at: at(2), chance: 0) == .deliver(.attemptsUsed))
    var long = plan()
    #expect(long.replied(reply(429, ["Retry-After": "18000"]), at: at(1), chance: 0) == .deliver(.timeUsed))
    var late = plan()
    _ = late.replied(reply(401), at: at(1), chance: 0)
    #expect(late.tokenRefreshed(at: at(500)) == .deliver(.timeUsed))
    var used = plan(limits: .init(attempts: 1))
    #expect(used.replied(reply(401), at: at(1), chance: 0) == .deliver(.attemptsUsed))
  }

  @Test func `a late reply changes nothing`() {
    var plan = plan()
    _ = plan.replied(reply(401), at: at(1), chance: 0)
    #expect(plan.replied(reply(200), at: at(1), chance: 0) == .refreshToken)
    #expect(plan.failed(mayHaveBeenSent: true, isTransient: true, at: at(1), chance: 0) == .refreshToken)
    _ = plan.refreshFailed()
    #expect(plan.replied(reply(200), at: at(1), chance: 0) == .deliver(.tokenRefused))
    #expect(plan.failed(mayHaveBeenSent: false, isTransient: true, at: at(1), chance: 0) == .deliver(.tokenRefused))
  }

  @Test func `every way through ends within its attempts`() {
    var mutator = Mutator(seed: 3)
    for _ in 0..<2000 {
      var plan = plan([.safe, .idempotent, .never][mutator.below(3)], hasToken: mutator.below(2) == 0)
      var sent = 1
      var throttled = 0
      var now: Int64 = 0
      loop: for _ in 0..<100 {
        now += Int64(mutator.below(5))
        var action: RetryPlan.Action
        if mutator.below(4) == 0 {
          action = plan.failed(
            mayHaveBeenSent: mutator.below(2) == 0, isTransient: mutator.below(8) > 0, at: at(now), chance: 0.5)
        } else {
          let status = [401, 429, 503, 401, 502][mutator.below(5)]
          throttled += status == 429 ? 1 : 0
          action = plan.replied(reply(status), at: at(now), chance: 0.5)
        }
        if action == .refreshToken {
          action = mutator.below(3) == 0 ? plan.refreshFailed() : plan.tokenRefreshed(at: at(now))
        }
        switch action {
        case .deliver: break loop
        case .send(let wait):
          sent += 1
          now += wait.milliseconds / 1000
        case .refreshToken: Issue.record("a refresh asks for a refresh")
        }
      }
      #expect(sent == plan.attempts && sent <= 4 + throttled && now <= 130)
    }
  }

  @Test func `R9.11 who asks for patience gets it, as long as there is time`() {
    var patient = plan(limits: .init(attempts: 2, throttled: 5, total: .seconds(1000)))
    for _ in 1...5 {
      guard case .send(let wait) = patient.replied(reply(429, ["Retry-After": "2"]), at: at(1), chance: 0) else {
        Issue.record("given up")
        return
      }
      #expect(wait >= .seconds(2))
    }
    #expect(patient.attempts == 6)
    guard case .send = patient.replied(reply(503), at: at(1), chance: 0) else {
      Issue.record("the other attempts are its own")
      return
    }
    #expect(patient.replied(reply(503), at: at(1), chance: 0) == .deliver(.attemptsUsed))
    var late = plan(limits: .init(total: .seconds(10)))
    #expect(late.replied(reply(429, ["Retry-After": "11"]), at: at(0), chance: 0) == .deliver(.timeUsed))
  }
}
