/// The gateway's limits, each with its reason. Whatever comes from a browser is an attack until it has passed them.

enum Limits {
  // One request ----------------------------------------------------------------------------------------------------

  /// Path and query, in bytes. A code can be a JWT of some kilobytes; browsers and proxies pass 8 to 16 KiB.
  static let uriBytesMax = 16 << 10
  /// One header field or the URI, in bytes: above `uriBytesMax`, so that a URI that is too long is answered in words.
  static let headerFieldBytesMax = 24 << 10
  /// All header fields together, in bytes: what a browser sends, with the cookies of other programs of the host.
  static let headerBytesMax = 48 << 10
  /// More header fields than any browser and two proxies send.
  static let headerCountMax = 100
  /// Bodies have no meaning here: every route is a GET.
  static let bodyBytesMax = 0

  // One connection to the gateway ----------------------------------------------------------------------------------

  /// Open connections: each is a descriptor and some kilobytes. More wait in the socket's queue.
  static let connectionsMax = 512
  /// Connections that wait to be accepted.
  static let backlog: Int32 = 256
  /// How long a connection may bring no complete request, in seconds: ends those who send a byte a minute.
  static let idleSeconds: Int64 = 30
  /// After an answer that ends the connection, in seconds: the client may still read it, and sends in vain.
  static let lingerSeconds: Int64 = 1
  /// How long the end waits for answers that are under way, in seconds; below the unit's TimeoutStopSec=.
  static let drainSeconds: Int64 = 20

  // One address ----------------------------------------------------------------------------------------------------

  /// Requests that an address may send at once: a login is two, with a reload and an icon four.
  static let burst: Double = 20
  /// Requests that it gains back a second. States and ids have 128 bits; guessing them is hopeless at any rate.
  static let requestsPerSecond: Double = 2
  /// Addresses that are remembered: some megabytes. The ones longest unheard of go first; they are full again anyway.
  static let addressesMax = 10_000

  // Calls to the daemon --------------------------------------------------------------------------------------------

  /// Calls at a time. One waits up to `completeSeconds` on a thread of its own; the next is told to come back.
  static let callsMax = 64
  /// The exchange of a code at the authorization server, in seconds: the daemon's own 60 and some.
  static let completeSeconds: Double = 65
  /// The start of a launch, in seconds: the daemon may have to discover the server's endpoints first.
  static let launchSeconds: Double = 30
  /// Everything that the daemon answers from its store, in seconds.
  static let answerSeconds: Double = 5

  // What is kept ---------------------------------------------------------------------------------------------------

  /// How long a result can be shown again, in seconds: a reload, a look a little later.
  static let outcomeSeconds: Double = 600
  /// Results that are kept, the oldest go first: about 2 KiB each.
  static let outcomesMax = 2000
  /// The server's own words on a page, in characters: a sentence or two; more is somebody else's page.
  static let serverWordsMax = 400
  /// How old a key set may be before the daemon is asked again, in seconds: a rotation is seen at once, a flood is not.
  static let keysFreshSeconds: Double = 5
  /// How long the last good key set is served while the daemon is away, in seconds. Keys overlap by a day on rotation.
  static let keysStaleSeconds: Double = 3600
  /// How long others may keep the key set, in seconds.
  static let keysMaxAgeSeconds = 300
  /// The same while the daemon is away.
  static let staleKeysMaxAgeSeconds = 30
  /// When to come back after a 503, in seconds.
  static let retryAfterSeconds = 5
}
