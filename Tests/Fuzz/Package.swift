// swift-tools-version:6.3
import PackageDescription

/// The fuzz targets: a package of its own, because a program with libFuzzer's `main` breaks `swift test`, and because the
/// parsers must be compiled anew, with coverage and AddressSanitizer in them. `Product` holds links to the product's
/// sources: targets of one package see each other's `package` declarations, and only what parsers need is resolved.
let strict: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
  // Properties look into modules (`@testable`), also where they are optimized.
  .unsafeFlags(["-sanitize=fuzzer,address", "-enable-testing", "-assert-config", "Debug"]),
]

func product(_ name: String, _ deps: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: deps, path: "Product/\(name)", swiftSettings: strict)
}

let package = Package(
  name: "fhird-fuzz",
  dependencies: [.package(url: "https://github.com/apple/swift-crypto", from: "4.5.2")],
  targets: [
    .target(name: "CLinux", path: "Product/CLinux"),
    product("FHIRControl"),
    product("SMARTProtocol"),
    product("FHIRSchema", ["SMARTProtocol"]),
    product("FHIRInteraction", ["SMARTProtocol", "FHIRSchema"]),
    product("ConnectionCore", ["FHIRControl", "SMARTProtocol", "FHIRSchema", "FHIRInteraction"]),
    product(
      "JWTSigner",
      [
        "ConnectionCore", "SMARTProtocol", .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "CryptoExtras", package: "swift-crypto"),
      ]),
    // Of these only the parsers: the rest needs libraries and a running system.
    .systemLibrary(
      name: "CCurl", path: "Product/CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    product("CurlHTTP", ["CCurl", "ConnectionCore"]),
    product("FHIRClient"),
    product("FHIRDaemon", ["CLinux", "FHIRControl", "SMARTProtocol"]),
    product("SystemdHost"),

    .target(
      name: "FuzzProperties",
      dependencies: [
        "FHIRControl", "SMARTProtocol", "FHIRSchema", "FHIRInteraction", "ConnectionCore", "JWTSigner", "CurlHTTP",
        "FHIRClient", "FHIRDaemon", "SystemdHost",
      ], path: "Properties", exclude: ["ReplayTests.swift"], swiftSettings: strict),
    .target(name: "CFuzzer", path: "CFuzzer"),
    .executableTarget(
      name: "fuzz", dependencies: ["FuzzProperties", "CFuzzer"], path: "Runner", swiftSettings: strict,
      // gold fails on what libFuzzer's archive has in it.
      linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])]),
  ],
  swiftLanguageModes: [.v6]
)
