/// What is remembered of a server's health: days and changes, 90 days of them, in bounded space. Pure.
package import FHIRControl
package import SMARTProtocol

package struct HealthHistory: Sendable, Equatable {
  package static let daysMax = 90
  /// Changes kept, the newest; a server that changes more often than this in 90 days is told by the days.
  package static let changesMax = 256
  /// Of one reason, in characters: a sentence.
  package static let reasonCharactersMax = 200

  /// What changed.
  package enum Aspect: UInt8, Sendable {
    case server = 1, metadata = 2
    package var name: String {
      switch self {
      case .server: "server"
      case .metadata: "metadata"
      }
    }
  }

  package struct Change: Sendable, Equatable {
    package var at: Timestamp
    package var aspect: Aspect
    package var from: HealthState
    package var to: HealthState
    package var reason: String?
    package init(at: Timestamp, aspect: Aspect, from: HealthState, to: HealthState, reason: String?) {
      self.at = at
      self.aspect = aspect
      self.from = from
      self.to = to
      self.reason = reason
    }
  }

  /// One day in UTC.
  package struct Day: Sendable, Equatable {
    /// Days since 1970.
    package var number: Int32
    package var probes: UInt32 = 0
    /// Milliseconds that were watched, in each state; `unknown` and `off` are not watched.
    package var healthy: UInt32 = 0
    package var degraded: UInt32 = 0
    package var down: UInt32 = 0
    package var maintenance: UInt32 = 0
    package var answered: UInt32 = 0
    /// Milliseconds, of the probes that were answered.
    package var latencyMin: UInt32 = 0
    package var latencyMax: UInt32 = 0
    package var latencySum: UInt64 = 0
    package init(number: Int32) { self.number = number }
  }

  /// Oldest first, one for each day.
  package private(set) var days: [Day] = []
  /// Oldest first.
  package private(set) var changes: [Change] = []
  package private(set) var changesDropped: UInt64 = 0

  package init() {}

  package init(days: [Day], changes: [Change], changesDropped: UInt64) {
    self.days = Array(days.suffix(Self.daysMax + 1))
    self.changes = Array(changes.suffix(Self.changesMax))
    self.changesDropped = changesDropped
  }

  private static let dayMilliseconds: Int64 = 86_400_000

  package static func day(of time: Timestamp) -> Int32 {
    let ms = time.milliseconds
    return Int32(clamping: ms >= 0 ? ms / dayMilliseconds : (ms - dayMilliseconds + 1) / dayMilliseconds)
  }

  // MARK: what happens

  /// The server was in this state for so long, until now.
  package mutating func watched(_ state: HealthState, for span: Instant.Span, until now: Timestamp) {
    var end = now.milliseconds
    // No probe is further apart than a day, and a bit for jitter.
    var left = min(max(span.milliseconds, 0), 2 * Self.dayMilliseconds)
    while left > 0 {
      let number = Self.day(of: Timestamp(milliseconds: end - 1))
      let part = min(left, end - Int64(number) * Self.dayMilliseconds)
      update(number) { $0.add(UInt32(clamping: part), in: state) }
      left -= part
      end -= part
    }
  }

  package mutating func probed(latency: Instant.Span?, at now: Timestamp) {
    update(Self.day(of: now)) { $0.probed(latency) }
    trim(at: now)
  }

  package mutating func changed(_ change: Change) {
    var change = change
    change.reason = change.reason.map { Words.clean($0, max: Self.reasonCharactersMax) }
    changes.append(change)
    if changes.count > Self.changesMax {
      changes.removeFirst()
      changesDropped &+= 1
    }
    trim(at: change.at)
  }

  /// Forgets what is older than 90 days, and days that a wrong clock made.
  package mutating func trim(at now: Timestamp) {
    let today = Int(Self.day(of: now))
    days.removeAll { Int($0.number) <= today - Self.daysMax || Int($0.number) > today + 1 }
    let oldest = now.milliseconds - Int64(Self.daysMax) * Self.dayMilliseconds
    changes.removeAll { $0.at.milliseconds < oldest }
  }

  private mutating func update(_ number: Int32, _ body: (inout Day) -> Void) {
    let place = days.firstIndex { $0.number >= number } ?? days.count
    if place == days.count || days[place].number != number { days.insert(Day(number: number), at: place) }
    body(&days[place])
    if days.count > Self.daysMax + 1 { days.removeFirst() }
  }

  // MARK: telling

  /// - Parameter days: how many, today included.
  package func report(days count: Int, at now: Timestamp) -> ServerHistory {
    let first = Int(Self.day(of: now)) - count + 1
    let oldest = Int64(first) * Self.dayMilliseconds
    return ServerHistory(
      days: days.filter { Int($0.number) >= first }.map(\.report),
      changes: changes.filter { $0.at.milliseconds >= oldest }.map {
        HealthChange(at: $0.at, what: $0.aspect.name, from: $0.from, to: $0.to, reason: $0.reason)
      }, changesDropped: Int(clamping: changesDropped))
  }
}

extension HealthHistory.Day {
  fileprivate mutating func add(_ milliseconds: UInt32, in state: HealthState) {
    func sum(_ value: UInt32) -> UInt32 {
      value.addingReportingOverflow(milliseconds).overflow ? .max : value + milliseconds
    }
    switch state {
    case .healthy: healthy = sum(healthy)
    case .degraded: degraded = sum(degraded)
    case .down: down = sum(down)
    case .maintenance: maintenance = sum(maintenance)
    case .unknown, .off: break
    }
  }

  fileprivate mutating func probed(_ latency: Instant.Span?) {
    if probes < .max { probes += 1 }
    guard let latency, answered < .max else { return }
    let milliseconds = UInt32(clamping: latency.milliseconds)
    latencyMin = answered == 0 ? milliseconds : min(latencyMin, milliseconds)
    latencyMax = max(latencyMax, milliseconds)
    latencySum &+= UInt64(milliseconds)
    answered += 1
  }

  fileprivate var report: HealthDay {
    let midnight = Timestamp(milliseconds: Int64(number) * 86_400_000)
    return HealthDay(
      day: String(midnight.description.prefix(10)), probes: Int(probes), healthySeconds: Int(healthy / 1000),
      degradedSeconds: Int(degraded / 1000), downSeconds: Int(down / 1000),
      maintenanceSeconds: Int(maintenance / 1000),
      latency: answered == 0
        ? nil
        : HealthDay.Latency(
          min: Int(latencyMin), mean: Int(clamping: latencySum / UInt64(answered)), max: Int(latencyMax)))
  }
}
