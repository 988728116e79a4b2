// swift-tools-version:6.3
import PackageDescription

/// Every Swift target: warnings are errors, imports are internal, existentials are spelled `any`.
let strict: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
  // Steps at which the daemon can be told to kill itself (docs/CRASHES.md); `scripts/release` looks that none is left.
  .define("FAULT_POINTS", .when(configuration: .debug)),
]
/// Adapters also mark each touch of C memory with `unsafe`, so `grep -rn unsafe Sources` is the audit list.
let adapter = strict + [.strictMemorySafety()]

func pure(_ name: String, _ deps: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: deps, swiftSettings: strict)
}
func adapts(_ name: String, _ c: [String], _ deps: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: c.map { .target(name: $0) } + deps, swiftSettings: adapter)
}
func tests(_ name: String, _ deps: [Target.Dependency] = []) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: [.target(name: name), "TestSupport"] + deps, swiftSettings: strict)
}

let package = Package(
  name: "fhird",
  products: [
    .library(name: "FHIRControl", targets: ["FHIRControl"]),
    .library(name: "FHIRClient", targets: ["FHIRClient"]),
    .executable(name: "fhird", targets: ["fhird"]),
    .executable(name: "fhirctl", targets: ["fhirctl"]),
    .executable(name: "fhird-gateway", targets: ["fhird-gateway"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: []),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    // The gateway's alone: HTTP to browsers. Without its traits, which bring full Foundation. The packages below come with
    // it; those that are imported are named.
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-nio-extras", from: "1.34.1"),
    .package(url: "https://github.com/apple/swift-log", from: "1.14.0"),
    .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
  ],
  targets: [
    // C libraries: a module map, a shim header, nothing else.
    .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(name: "CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
    .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
    .systemLibrary(name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),
    .target(name: "CLinux"),

    // Pure: values and state machines. No clock, no sockets, no queues.
    pure("FHIRControl"),
    pure("SMARTProtocol"),
    pure("FHIRSchema", ["SMARTProtocol"]),
    pure("FHIRInteraction", ["SMARTProtocol", "FHIRSchema"]),
    pure("ConnectionCore", ["FHIRControl", "SMARTProtocol", "FHIRSchema", "FHIRInteraction"]),

    // Adapters: one library each, one port each.
    adapts("LMDBStore", ["CLMDB"], ["ConnectionCore", "FHIRControl"]),
    adapts("CurlHTTP", ["CCurl"], ["ConnectionCore", "FHIRControl", "SMARTProtocol"]),
    adapts("SodiumVault", ["CSodium"], ["ConnectionCore"]),
    adapts("SystemdHost", ["CSystemd", "CLinux"], ["ConnectionCore", "FHIRControl", "SMARTProtocol"]),
    adapts("DispatchSupport", ["CLinux"], []),
    adapts(
      "JWTSigner", [],
      [
        "ConnectionCore", "SMARTProtocol", .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "CryptoExtras", package: "swift-crypto"),
      ]),

    // Programs.
    .target(
      name: "FHIRDaemon",
      dependencies: [
        "FHIRControl", "SMARTProtocol", "FHIRSchema", "ConnectionCore", "DispatchSupport", "CLinux", "LMDBStore",
        "CurlHTTP", "JWTSigner", "SodiumVault", "SystemdHost",
        .product(name: "Configuration", package: "swift-configuration"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: adapter),
    .executableTarget(name: "fhird", dependencies: ["FHIRDaemon"], swiftSettings: strict),
    .target(name: "FHIRClient", dependencies: ["FHIRControl"], swiftSettings: adapter),
    .executableTarget(
      name: "fhirctl",
      dependencies: [
        "FHIRClient", "FHIRControl", "CLinux", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: strict),
    .target(
      name: "FHIRGateway",
      dependencies: [
        "FHIRClient", "FHIRControl",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOExtras", package: "swift-nio-extras"),
        .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
      ], swiftSettings: adapter),
    .executableTarget(name: "fhird-gateway", dependencies: ["FHIRGateway"], swiftSettings: strict),

    // Measures; Benchmarks/schema runs it.
    .executableTarget(
      name: "SchemaCost", dependencies: ["FHIRSchema", "SMARTProtocol"], path: "Benchmarks/SchemaCost",
      swiftSettings: strict),

    // Tests.
    .target(
      name: "TestSupport", dependencies: ["ConnectionCore", "SMARTProtocol", "FHIRControl"], path: "Tests/TestSupport",
      swiftSettings: strict),
    tests("FHIRControl"), tests("SMARTProtocol"), tests("FHIRSchema", ["SMARTProtocol"]),
    tests("FHIRInteraction", ["SMARTProtocol", "FHIRSchema", "FHIRControl"]),
    tests("ConnectionCore", ["FHIRControl", "SMARTProtocol"]),
    tests("LMDBStore", ["ConnectionCore", "FHIRControl", "StoreTortureHelper"]),
    .executableTarget(
      name: "StoreTortureHelper", dependencies: ["LMDBStore", "CLMDB", "ConnectionCore"],
      path: "Tests/StoreTortureHelper", swiftSettings: adapter),
    tests("CurlHTTP", ["ConnectionCore", "SMARTProtocol", "FHIRControl"]),
    tests("SodiumVault", ["ConnectionCore", "LMDBStore"]),
    tests("JWTSigner", ["ConnectionCore", "SMARTProtocol"]),
    tests("SystemdHost", ["CSystemd", "ConnectionCore", "SMARTProtocol", "FHIRControl"]),
    tests("DispatchSupport"),
    tests("FHIRDaemon", ["ConnectionCore", "SMARTProtocol", "FHIRControl", "DispatchSupport"]),
    // The properties that Tests/Fuzz fuzzes, on its seeds.
    .testTarget(
      name: "FuzzTests",
      dependencies: [
        "FHIRControl", "SMARTProtocol", "FHIRSchema", "FHIRInteraction", "ConnectionCore", "CurlHTTP", "JWTSigner",
        "FHIRClient", "FHIRDaemon", "SystemdHost",
      ], swiftSettings: strict),
    .target(name: "FakeDaemon", path: "Tests/FakeDaemon", swiftSettings: strict),
    .testTarget(
      name: "FHIRClientTests", dependencies: ["FHIRClient", "FHIRControl", "FakeDaemon"], swiftSettings: strict),
    .testTarget(
      name: "fhirctlTests", dependencies: ["fhirctl", "FHIRControl", "FHIRClient", "FakeDaemon"],
      swiftSettings: strict),
    .testTarget(
      name: "FHIRGatewayTests",
      dependencies: [
        "FHIRGateway", "FakeDaemon", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: strict),
    .testTarget(
      name: "IntegrationTests", dependencies: ["FHIRClient", "FHIRControl", "ConnectionCore", "TestSupport"],
      swiftSettings: strict),
    .testTarget(name: "TidyTests", swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)
