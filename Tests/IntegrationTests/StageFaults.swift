/// A daemon on the stage that kills itself at a named step, and the next one that finds what is left.
#if FAULT_POINTS
  import ConnectionCore
  import FHIRControl
  import Glibc
  import TestSupport
  import Testing

  extension FaultPoint: CustomTestStringConvertible {
    public var testDescription: String { rawValue }

    /// In the order of happening.
    func isAtOrAfter(_ other: FaultPoint) -> Bool {
      guard let here = Self.allCases.firstIndex(of: self), let there = Self.allCases.firstIndex(of: other) else {
        return false
      }
      return here >= there
    }

    static func all(of operation: String) -> [FaultPoint] { allCases.filter { $0.operation == operation } }
  }

  /// Sets the stage with a daemon that dies at this step, the `times`th time that it gets there.
  func onDeadlyStage(_ point: FaultPoint, times: Int, _ play: (Stage) async throws -> Void) async throws {
    try await onStage(isPatient: true) { options in
      options.environment["FHIRD_FAULT_POINT"] = "\(point.rawValue):\(times)"
    } _: { stage in
      try await play(stage)
    }
  }

  extension Stage {
    /// The answer, or nil: the daemon ended instead.
    func ask(_ method: String, _ parameters: WireJSON) async throws -> Answer? {
      do {
        return try await control.answer(to: try await control.begin(method, parameters))
      } catch {
        try await death()
        return nil
      }
    }

    /// Waits until the daemon has killed itself and the server is done with what it was asked.
    func death() async throws {
      let end = try await #require(daemon.child).waitForEnd(within: 30)
      #expect(end == .signalled(SIGKILL), "\(daemon.tail)")
      _ = try await eventually("the server is done") { () -> Bool? in
        try await server.stats()["in_flight"]["*"].int ?? 0 == 0 ? true : nil
      }
    }

    /// Starts the daemon anew, to die at another step or to live, as a stage with a connection of its own.
    func startedAgain() async throws -> Stage {
      daemon.configure { $0.environment["FHIRD_FAULT_POINT"] = nil }
      try await daemon.start()
      return Stage(server: server, daemon: daemon, control: try await daemon.connect())
    }
  }

  /// One line for `docs/record-crashes`.
  func tellKill(_ point: FaultPoint, _ where: String, _ outcome: String) {
    print("fault point: \(point.rawValue)\t\(`where`)\t\(outcome)")
  }
#endif
