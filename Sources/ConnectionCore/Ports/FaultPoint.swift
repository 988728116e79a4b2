/// The named steps of refreshes, logins and revocations at which a test build of the daemon can kill itself.
#if FAULT_POINTS
  package import FHIRControl

  /// What a crash leaves behind is decided by what has gone out before it: a commit, a request, an answer. So a step stands
  /// at each side of each of these, and a death anywhere between two steps is like a death at the first of them.
  ///
  /// In the order of happening, for each of the four: the tests take what must hold at a step from where it stands.
  package enum FaultPoint: String, Sendable, CaseIterable {
    case refreshChosen = "refresh.chosen"
    case refreshRecordWritten = "refresh.record_written"
    case refreshRecordCommitted = "refresh.record_committed"
    case refreshRequestMade = "refresh.request_made"
    case refreshRequestSent = "refresh.request_sent"
    case refreshReplyReceived = "refresh.reply_received"
    case refreshOutcomeSealed = "refresh.outcome_sealed"
    case refreshOutcomeWritten = "refresh.outcome_written"
    case refreshOutcomeCommitted = "refresh.outcome_committed"
    case refreshAnswerReady = "refresh.answer_ready"
    case refreshAnswered = "refresh.answered"

    /// At a start that finds a refresh or a login which the last process left under way.
    case recoverySealed = "recovery.sealed"
    case recoveryWritten = "recovery.written"
    case recoveryCommitted = "recovery.committed"

    case loginBeginSealed = "login.begin_sealed"
    case loginBeginWritten = "login.begin_written"
    case loginBeginCommitted = "login.begin_committed"
    case loginAddressReady = "login.address_ready"
    case loginAddressGiven = "login.address_given"
    case loginRedeemingSealed = "login.redeeming_sealed"
    case loginRedeemingWritten = "login.redeeming_written"
    case loginRedeemingCommitted = "login.redeeming_committed"
    case loginRequestMade = "login.request_made"
    case loginRequestSent = "login.request_sent"
    case loginReplyReceived = "login.reply_received"
    case loginGrantSealed = "login.grant_sealed"
    case loginGrantWritten = "login.grant_written"
    case loginGrantCommitted = "login.grant_committed"
    case loginAnswerReady = "login.answer_ready"
    case loginAnswered = "login.answered"

    /// The requests come twice, for the refresh token and for the access token.
    case revocationRequestMade = "revocation.request_made"
    case revocationRequestSent = "revocation.request_sent"
    case revocationReplyReceived = "revocation.reply_received"
    case revocationErasureSealed = "revocation.erasure_sealed"
    case revocationErasureWritten = "revocation.erasure_written"
    case revocationErasureCommitted = "revocation.erasure_committed"
    case revocationAnswerReady = "revocation.answer_ready"
    case revocationAnswered = "revocation.answered"

    /// `refresh`, `recovery`, `login` or `revocation`.
    package var operation: Substring { rawValue.prefix { $0 != "." } }
  }

  extension FaultPoint {
    /// Sealed and handed to the store; written and not yet committed; durable, and nobody has heard of it.
    package struct Commit: Sendable {
      package let sealed, written, committed: FaultPoint
      init(_ sealed: FaultPoint, _ written: FaultPoint, _ committed: FaultPoint) {
        (self.sealed, self.written, self.committed) = (sealed, written, committed)
      }
    }

    /// About to be sent; all of it sent, no answer read; answered, and the answer not looked at.
    package struct Request: Sendable {
      package let made, sent, received: FaultPoint
      init(_ made: FaultPoint, _ sent: FaultPoint, _ received: FaultPoint) {
        (self.made, self.sent, self.received) = (made, sent, received)
      }
    }

    /// Known and not yet written to the caller; written to the caller.
    package struct Answer: Sendable {
      package let ready, given: FaultPoint
      init(_ ready: FaultPoint, _ given: FaultPoint) { (self.ready, self.given) = (ready, given) }
    }

    /// What a batch is for, told by the tables that it touches; nil: no step of ours.
    package static func commit(_ batch: RecordBatch) -> Commit? {
      var puts: Set<Table> = []
      var deletes: Set<Table> = []
      for write in batch.writes {
        switch write {
        case .put(let address, _): puts.insert(address.table)
        case .delete(let address): deletes.insert(address.table)
        case .deletePrefix: break
        }
      }
      // Only a start changes records without asking for their generation: nobody else is there.
      let isRecovery = batch.conditions.isEmpty && !puts.isDisjoint(with: [.grants, .pending])
      if isRecovery { return Commit(.recoverySealed, .recoveryWritten, .recoveryCommitted) }
      if puts.contains(.inflight) { return Commit(.refreshChosen, .refreshRecordWritten, .refreshRecordCommitted) }
      if puts.contains(.pending) {
        if puts.contains(.grants) { return Commit(.loginGrantSealed, .loginGrantWritten, .loginGrantCommitted) }
        return batch.conditions.contains { $0.generation == nil }
          ? Commit(.loginBeginSealed, .loginBeginWritten, .loginBeginCommitted)
          : Commit(.loginRedeemingSealed, .loginRedeemingWritten, .loginRedeemingCommitted)
      }
      guard puts.contains(.grants), deletes.contains(.inflight), !puts.contains(.connections) else { return nil }
      // A refusal that ends a grant erases as a revocation does, and is the same commit.
      return deletes.contains(.tokens)
        ? Commit(.revocationErasureSealed, .revocationErasureWritten, .revocationErasureCommitted)
        : Commit(.refreshOutcomeSealed, .refreshOutcomeWritten, .refreshOutcomeCommitted)
    }

    /// What a request is for, told by its form; nil: no step of ours.
    package static func request(_ request: HTTPRequest) -> Request? {
      request.body?.withBytes { bytes in
        let form = bytes.split(separator: UInt8(ascii: "&"))
        if form.contains(where: { $0.elementsEqual("grant_type=refresh_token".utf8) }) {
          return Request(.refreshRequestMade, .refreshRequestSent, .refreshReplyReceived)
        }
        if form.contains(where: { $0.elementsEqual("grant_type=authorization_code".utf8) }) {
          return Request(.loginRequestMade, .loginRequestSent, .loginReplyReceived)
        }
        return form.contains { $0.starts(with: "token_type_hint=".utf8) }
          ? Request(.revocationRequestMade, .revocationRequestSent, .revocationReplyReceived) : nil
      }
    }

    package static func answer(_ method: ControlMethod) -> Answer? {
      let answers: [ControlMethod: Answer] = [
        .tokenRefresh: Answer(.refreshAnswerReady, .refreshAnswered),
        .authorizationStart: Answer(.loginAddressReady, .loginAddressGiven),
        .authorizationComplete: Answer(.loginAnswerReady, .loginAnswered),
        .tokenRevoke: Answer(.revocationAnswerReady, .revocationAnswered),
      ]
      return answers[method]
    }
  }
#endif
