/// `kill -9` at every named step of a login and of a revocation: the grant before it is kept until the new one is stored, a
/// code is shown once, and what was to be revoked can be revoked again.
#if FAULT_POINTS
  import ConnectionCore
  import FHIRControl
  import TestSupport
  import Testing

  @Suite("fault points of logins and revocations", .needs(.python3, .daemon))
  struct LoginFaultTests {
    private static let app: WireJSON = ["connection": "app"]

    private func prepare(_ stage: Stage) async throws -> String {
      try await stage.server.settings(["refresh_tokens": true])
      try await stage.createApp("app")
      try await stage.logIn("app")
      return try await stage.token("app")
    }

    /// A login that the daemon does not survive.
    /// - Returns: what the browser brings back, if it was told where to go.
    private func die(_ stage: Stage) async throws -> (redirect: WireJSON?, answer: Answer?) {
      guard let begun = try await stage.ask("authorization.start", Self.app) else { return (nil, nil) }
      let back = try await stage.agree(try #require(begun.result["authorization_url"].string))
      let redirect: WireJSON = ["redirect_url": .string(back)]
      return (redirect, try await stage.ask("authorization.complete", redirect))
    }

    @Test(.timeLimit(.minutes(10)), arguments: FaultPoint.all(of: "login"))
    func `R4.15 a death in a login costs that login at most, and no code is shown twice`(point: FaultPoint)
      async throws
    {
      try await onDeadlyStage(point, times: 2) { stage in
        let before = try await prepare(stage)
        let (redirect, answer) = try await die(stage)
        try await stage.death()
        let issued = try await stage.server.stats()["tokens_issued"].int
        #expect(issued == (point.isAtOrAfter(.loginRequestSent) ? 2 : 1), "the step is not where it says")
        #expect((redirect != nil) == point.isAtOrAfter(.loginAddressGiven))
        #expect((answer != nil) == (point == .loginAnswered))

        let again = try await stage.startedAgain()
        let isStored = point.isAtOrAfter(.loginGrantCommitted)
        #expect((try await again.token("app") == before) == !isStored)
        try await again.expectGoodToken("app")
        var outcome = "kept: the grant before it; nobody was sent anywhere"
        if let redirect {
          let status = try await again.control.result("authorization.complete", redirect)
          switch (isStored, point.isAtOrAfter(.loginRedeemingCommitted)) {
          case (true, _):
            #expect(status["progress"] == "completed", "\(status.text)")
            outcome = "kept: the new grant was stored"
          case (false, true):
            #expect(status["progress"] == "failed", "\(status.text)")
            #expect(status["error"]["code"].string == ErrorCode.needsLogin.rawValue, "\(status.text)")
            outcome = "kept: the grant before it; the login must begin anew"
          case (false, false):
            #expect(status["progress"] == "completed", "\(status.text)")
            outcome = "kept: the login goes on after the restart"
          }
          try await again.expectGoodToken("app")
        }
        try await again.logIn("app")
        try await again.expectGoodToken("app")
        try await again.refresh("app")
        let stats = try await again.server.stats()
        #expect(stats["code_reuse_detected"] == 0, "\(stats.text)")
        #expect(stats["refresh_presented_max"] == 1, "\(stats.text)")
        #expect(stats["families_dead"] == 0, "\(stats.text)")
        try await again.expectWholeStore()
        tellKill(point, "a grant is there already", outcome)
      }
    }

    @Test(.timeLimit(.minutes(10)), arguments: FaultPoint.all(of: "recovery"))
    func `R4.15 a second death in the start leaves the lost login to be ended by the next`(point: FaultPoint)
      async throws
    {
      try await onDeadlyStage(.loginRequestSent, times: 2) { stage in
        let before = try await prepare(stage)
        let (redirect, _) = try await die(stage)
        try await stage.death()
        stage.daemon.configure { $0.environment["FHIRD_FAULT_POINT"] = point.rawValue }
        try stage.daemon.spawn()
        try await stage.death()
        let again = try await stage.startedAgain()
        let status = try await again.control.result("authorization.complete", redirect)
        #expect(status["progress"] == "failed", "\(status.text)")
        #expect(try await again.token("app") == before)
        #expect(try await again.server.stats()["code_reuse_detected"] == 0)
        try await again.expectWholeStore()
        tellKill(point, "a login was under way", "kept: the grant before it; the login must begin anew")
      }
    }

    /// Of the two requests, the second is a step of its own.
    private static let revocations: [(FaultPoint, Int)] = FaultPoint.all(of: "revocation").flatMap { point in
      point.isAtOrAfter(.revocationErasureSealed) ? [(point, 1)] : [(point, 1), (point, 2)]
    }

    @Test(.timeLimit(.minutes(10)), arguments: revocations)
    func `R8.01 a death in a revocation leaves what can be revoked again`(point: FaultPoint, times: Int) async throws {
      try await onDeadlyStage(point, times: times) { stage in
        let token = try await prepare(stage)
        let answer = try await stage.ask("token.revoke", Self.app)
        try await stage.death()
        #expect((answer != nil) == (point == .revocationAnswered))
        let isAsked = point.isAtOrAfter(.revocationRequestSent) || times == 2
        #expect(
          try await stage.server.stats()["families_dead"].int == (isAsked ? 1 : 0), "the step is not where it says")

        let again = try await stage.startedAgain()
        let status = try await again.status("app")
        let isErased = point.isAtOrAfter(.revocationErasureCommitted)
        #expect(status["has_refresh_token"].bool == !isErased, "\(status.text)")
        #expect((status["state"] == "needs_login") == isErased, "\(status.text)")
        let result = try await again.control.result("token.revoke", Self.app)
        #expect(result["erased"] == (isErased ? [] : ["refresh_token", "access_token"]), "\(result.text)")
        #expect(code(try await again.control.call("token.get", Self.app)) == .needsLogin)
        #expect(try await again.server.read("/fhir/Patient/1", token: token) == 401)
        #expect(try await again.server.stats()["refresh_presented_max"] == 0)
        try await again.logIn("app")
        try await again.expectGoodToken("app")
        try await again.expectWholeStore()
        let how = isErased ? "erased before" : "erased when it was asked for again"
        tellKill(point, times == 2 ? "the access token's request" : "the first time", how)
      }
    }
  }
#endif
