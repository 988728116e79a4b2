/// fhird: owns FHIR API connections and serves their tokens. Everything is in FHIRDaemon.
import FHIRDaemon

await Program.main(Array(CommandLine.arguments.dropFirst())) { print($0) }
