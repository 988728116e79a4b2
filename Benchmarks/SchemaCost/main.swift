/// Reads a CapabilityStatement again and again and says, for each round, how many microseconds the JSON alone and the
/// whole way to a schema took. Benchmarks/schema puts Python beside it.
import FHIRSchema
import FoundationEssentials
import Glibc
import SMARTProtocol

guard CommandLine.arguments.count == 3, let rounds = Int(CommandLine.arguments[2]),
  let data = FileManager.default.contents(atPath: CommandLine.arguments[1])
else {
  print("usage: SchemaCost FILE ROUNDS")
  exit(64)
}
let bytes = Array(data)

func microseconds(_ work: () throws -> Int) rethrows -> (Double, Int) {
  let start = ContinuousClock.now
  let result = try work()
  let spent = ContinuousClock.now - start
  return (Double(spent.components.attoseconds) / 1e12 + Double(spent.components.seconds) * 1e6, result)
}

for _ in 0..<rounds {
  let (json, _) = try microseconds { try JSONDocument(bytes, limits: .large).root.object?.count ?? 0 }
  let (schema, resources) = try microseconds { try Schema(json: bytes).server?.resources.count ?? 0 }
  print("\(Int(json)) \(Int(schema)) \(resources)")
}
