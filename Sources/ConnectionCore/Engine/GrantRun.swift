/// A grant that something is under way for. Idle grants have none: they are a record and a deadline.
import FHIRControl
import SMARTProtocol

struct GrantRun {
  /// Tells this run from an earlier one of the same grant: what was asked under another serial is dropped.
  let serial: UInt64
  let key: GrantKey
  let id: ConnectionID
  let connection: ConnectionRecord
  let endpoint: String
  var record: GrantRecord
  var machine: TokenMachine
  var waiters: [Waiter] = []
  /// What the attempt brought, until it is committed.
  var outcome: TokenAttempt?
  /// Why the last attempt failed, for those who wait.
  var failure: ControlError?
  /// It stands in a gate's queue.
  var isQueued = false

  var loginCommand: String { loginCommandText(connection.name, record.subject) }

  /// Something had gone wrong before the attempt that is settled now.
  var hadTrouble: Bool { record.lastError != nil }

  /// What the grant's next token is asked for with.
  var askKind: TokenAsk.Kind {
    switch record.renewal {
    // A grant that only a login renews never gets here: the machine sees to it.
    case .client, .login: .clientCredentials
    case .refreshToken: .refresh(key, record)
    }
  }

  struct Waiter {
    let id: UInt64
    let continuation: CheckedContinuation<Void, any Error>
  }
}
