/// What local clients send over the socket, and how a client finds the result in an answer.
import FHIRControl
import SMARTProtocol

@testable import ConnectionCore
@testable import FHIRClient
@testable import FHIRDaemon

extension FuzzTarget {
  static let controlLine = FuzzTarget(
    "control-line", seeds: controlSeeds.map { $0 + "\n" } + [controlSeeds.joined(separator: "\r\n\n")],
    words: controlWords + ["\n", "\r\n"]
  ) { bytes in
    var framer = LineFramer(lineBytesMax: 512)
    var lines: [[UInt8]] = []
    var isTooLong = false
    // In pieces, as a socket gives them: how long they are is in the bytes themselves.
    var rest = bytes[...]
    while let first = rest.first, !isTooLong {
      framer.append(contentsOf: rest.prefix(1 + Int(first & 31)))
      rest = rest.dropFirst(1 + Int(first & 31))
      do {
        while let line = try framer.nextLine() { lines.append(line) }
      } catch { isTooLong = true }
    }
    let whole = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map {
      $0.last == 0x0D ? Array($0.dropLast()) : Array($0)
    }
    let expected = whole.dropLast().filter { !$0.isEmpty }
    try hold(isTooLong ? expected.starts(with: lines) : lines == expected, "the stream was cut into other lines")
    try hold(!isTooLong || bytes.split(separator: 0x0A).contains { $0.count > 512 }, "a short line was too long")
    for line in whole { try holdEnvelope(line) }
    try holdBuffer(bytes)
  }

  private static func holdEnvelope(_ line: [UInt8]) throws {
    let envelope = RequestEnvelope(line.span)
    if let id = envelope.id {
      try hold(id.count <= RequestEnvelope.idBytesMax && isJSON(Array(line[id])), "an id that cannot be sent back")
    }
    guard envelope.problem == nil else { return }
    let limits = JSONDocument.Limits(bytes: 1 << 20, depth: JSONScanner.depthMax, values: 100_000)
    let document = try unwrap(try? JSONDocument(line, limits: limits), "a request that is no JSON")
    try hold(document.topLevelDuplicates.isEmpty, "a member stands twice and was believed")
    let members = try unwrap(document.root.object, "a request that is no object")
    try hold(Set(members.keys).isSubset(of: ["jsonrpc", "id", "method", "params"]), "an unknown member")
    try hold(members["jsonrpc"]?.string == "2.0", "another version")
    try hold(members["method"]?.string == envelope.methodName(in: line.span), "another method")
    guard let params = envelope.params else { return try hold(members["params"] == nil, "parameters were overlooked") }
    try hold((try? JSONDocument(Array(line[params]), limits: limits))?.root == members["params"], "other parameters")
    if let rest = try? RequestParameters(line.span, params: params) {
      let without = try JSONDocument(rest.bytes, limits: limits).root.object
      try hold(without == members["params"]?.object?.filter { $0.key != "timeout_seconds" }, "a parameter was lost")
      if let seconds = rest.timeoutSeconds { try hold(seconds > 0 && seconds <= timeoutSecondsMax, "\(seconds) s") }
    }
    guard let hot = HotRequest(line.span, params: params) else { return }
    let long = try ParameterDecoding.decode(TokenGetParameters.self, from: Array(line[params]))
    try hold(Array(long.connection.utf8) == Array(line[hot.connection]), "the short way sees another connection")
    try hold(Array((long.subject ?? "").utf8) == Array(line[hot.subject]), "the short way sees another subject")
    let minimum = long.minValidSeconds ?? TokenGetParameters.minValidSecondsDefault
    try hold(abs(minimum * 1000 - Double(hot.minimum.milliseconds)) < 1, "the short way sees another minimum")
  }

  /// The daemon's buffer against an array: each byte of the input is something that is done to both.
  private static func holdBuffer(_ bytes: [UInt8]) throws {
    var buffer = ByteBuffer()
    var model: [UInt8] = []
    for (i, byte) in bytes.prefix(100).enumerated() {
      switch byte & 7 {
      case 0:
        buffer.consume(min(Int(byte) * 8, buffer.count))
        model.removeFirst(min(Int(byte) * 8, model.count))
      case 1:
        buffer.truncate(to: Int(byte) * 16)
        model = Array(model.prefix(Int(byte) * 16))
      case 2:
        buffer.append(decimal: Int64(byte) &- Int64(i) << 56)
        model += "\(Int64(byte) &- Int64(i) << 56)".utf8
      case 3:
        buffer.append(Timestamp(milliseconds: Int64(byte) << 40))
        model += Timestamp(milliseconds: Int64(byte) << 40).description.utf8
      case 4 where byte > 250:
        buffer.release()
        model = []
      default:
        let more = [UInt8](repeating: byte, count: Int(byte) * (i % 4))
        buffer.append(more)
        model += more
      }
      try hold(buffer.count == model.count, "the buffer holds \(buffer.count) bytes, not \(model.count)")
    }
    try hold(buffer.bytes.elementsEqual(model), "the buffer holds other bytes")
  }

  /// The first byte chooses the method; what follows are its `params`.
  static let controlParameters = FuzzTarget(
    "control-parameters",
    seeds: [
      "0{\"connection\":\"epic\",\"subject\":\"s\",\"min_valid_seconds\":30.5}",
      "1{\"filter\":\"*\",\"limit\":10,\"cursor\":\"x\"}",
      "2{\"connection\":\"a\",\"if_generation\":18446744073709551615,\"client_secret\":\"S3CR3T-abcd\",\"refresh\":{}}",
      "3{\"principal\":{\"unit\":\"a.service\"},\"methods\":[\"token.*\"],\"connections\":[\"epic*\"]}",
      "4{\"timeout\":1}",
      "5{\"redirect_url\":\"https://a/?code=S3CR3T-abcd&state=x\"}",
      "6{\"connection\":\"a\",\"private_key\":\"S3CR3T-abcd\"}",
      "7{\"connection_name\":\"a\",\"fhir_base_url\":\"https://a/\",\"extra_parameters\":{\"a\":\"b\"},\"allowed_origins\":[1]}",
    ],
    words: controlWords + [
      "principal", "user", "group", "unit", "uid", "methods", "refresh", "health", "private_key", "code",
    ]
  ) { bytes in
    let params = Array(bytes.dropFirst())
    // The control server has checked the line before it looks for parameters.
    guard isJSON(params), params.first == UInt8(ascii: "{") else { return }
    switch (bytes.first ?? 0) % 14 {
    case 0: try holdDecoding(AuthorizationCompleteParameters.self, params)
    case 1: try holdDecoding(KeyCreateParameters.self, params)
    case 2: try holdDecoding(KeyRotateParameters.self, params)
    case 3: try holdDecoding(KeyListParameters.self, params)
    case 4: try holdDecoding(NoParameters.self, params)
    case 5: try holdDecoding(AuthorizationStartParameters.self, params)
    case 6: try holdDecoding(TokenGetParameters.self, params)
    case 7: try holdDecoding(ConnectionListParameters.self, params)
    case 8: try holdDecoding(ConnectionUpdateParameters.self, params)
    case 9: try holdDecoding(AccessGrantParameters.self, params)
    case 10: try holdDecoding(ConnectionTestParameters.self, params)
    case 11: try holdDecoding(ConnectionFields.self, params)
    case 12: try holdDecoding(AuthorizationReference.self, params)
    default: try holdDecoding(ConnectionDeleteParameters.self, params)
    }
  }

  private static func holdDecoding<P: ControlParameters>(_ type: P.Type, _ params: [UInt8]) throws {
    do {
      let value = try ParameterDecoding.decode(type, from: params)
      let known = (try? JSONDocument(params, limits: .large))?.root.object ?? [:]
      try hold(Set(known.keys).isSubset(of: P.parameterNames), "an unknown parameter was taken")
      _ = value
    } catch let error as ControlError {
      try hold(error.data.code == .invalidParams, "refused with \(error.data.code)")
      let document = try JSONDocument(params, limits: .large)
      var names: Set<[UInt8]> = []
      collectNames(of: document.root, into: &names)
      let shown = Array("\(error)".utf8)
      // Names are told, values never.
      for secret in Marked.secrets(in: params) where !names.contains(where: { $0.contains(bytes: secret) }) {
        try hold(!shown.contains(bytes: secret), "a value is told: \(error)")
      }
    }
  }

  private static func collectNames(of value: JSON, into names: inout Set<[UInt8]>) {
    for element in value.elements { collectNames(of: element, into: &names) }
    for (name, member) in value.object ?? [:] {
      names.insert(Array(name.utf8))
      collectNames(of: member, into: &names)
    }
  }

  static let resultMember = FuzzTarget(
    "result-bytes",
    seeds: [
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":[1,\"}\",{\"b\":\"\\\"\"}]} }", "{\"result\":1}",
      "{\"id\":\"result\",\"error\":{}}",
      "{ \"x\" : { \"result\" : 1 } , \"result\" : null }",
    ], words: ["\"result\":", "{\"", "\"}", "[", "]", "\\\"", "\\\\", "null", "{}"]
  ) { bytes in
    let found = resultBytes(in: bytes, answering: 1)
    guard isJSON(bytes), var members = try? JSONScanner.MemberCursor(bytes.span, at: start(of: bytes), depth: 0) else {
      return try hold(found == nil, "a result out of what is no object")
    }
    var (result, id, hasError): ([UInt8]?, [UInt8], Bool) = (nil, [], false)
    while let member = try members.next(bytes.span) {
      let value = Array(bytes[member.value])
      if JSONScanner.matches("result", bytes.span, member.name) { result = value }
      if JSONScanner.matches("id", bytes.span, member.name) { id = value }
      if JSONScanner.matches("error", bytes.span, member.name) { hasError = true }
    }
    try hold(found == (id == Array("1".utf8) && !hasError ? result : nil), "another result than the answer's")
  }

  private static func start(of bytes: [UInt8]) -> Int {
    var at = 0
    JSONScanner.skipWhitespace(bytes.span, &at)
    return at
  }

  private static let controlSeeds = [
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"token.get\",\"params\":{\"connection\":\"epic\",\"min_valid_seconds\":12.5}}",
    "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"token.get\",\"params\":{\"timeout_seconds\":5,\"connection\":\"e\\u0041\"}}",
    "{\"jsonrpc\":\"2.0\",\"method\":\"health.get\"}", "[{\"jsonrpc\":\"2.0\"}]",
    "{\"jsonrpc\":\"2.0\",\"id\":null,\"id\":1}",
    "{\"\\u0069d\":-1e5,\"jsonrpc\":\"2.0\",\"method\":\"a\\\"b\",\"params\":[]}",
  ]
  private static let controlWords = [
    "\"jsonrpc\":\"2.0\"", "\"id\":", "\"method\":\"token.get\"", "\"params\":{", "\"connection\":\"", "\"subject\":\"",
    "\"min_valid_seconds\":", "\"timeout_seconds\":", "\"client_secret\":\"", "if_generation", "\\u00",
    "\\ud800\\udc00", "}}",
    "\",\"", "1e999", "18446744073709551616", Marked.prefix + "abcd",
  ]
}
