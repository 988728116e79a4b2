// swift-tools-version:6.3
import PackageDescription

/// Times the bundle reader, optimized: a package of its own, so that nothing else of the product is built with it.
let strict: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

func product(_ name: String, _ deps: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: deps, path: "Product/\(name)", swiftSettings: strict)
}

let package = Package(
  name: "bundle-bench",
  targets: [
    product("SMARTProtocol"),
    product("FHIRSchema", ["SMARTProtocol"]),
    product("FHIRInteraction", ["SMARTProtocol", "FHIRSchema"]),
    .executableTarget(name: "bundle-bench", dependencies: ["FHIRInteraction"], path: "Bench", swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)
