/// A stage whose daemon has a clock that a test moves: Tests/ClockShim under LD_PRELOAD.
import Glibc
import TestSupport
import Testing

/// The file that the shim reads: seconds of jump and of suspend.
struct ShimFile: Sendable {
  let path: String

  func set(jump: Int, suspend: Int) throws {
    let fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
    try #require(fd >= 0)
    defer { close(fd) }
    // Written in place and padded: the daemon has the file mapped.
    var text = "\(jump) \(suspend)"
    text += String(repeating: " ", count: 62 - text.utf8.count) + "\n"
    try #require(pwrite(fd, text, text.utf8.count, 0) == text.utf8.count)
  }
}

func onShiftableStage(_ play: (Stage, ShimFile) async throws -> Void) async throws {
  let directory = try TestMachine.makeDirectory()
  defer { TestMachine.remove(directory) }
  let library = directory + "/clock-shim.so"
  let compiled = try await runProgram(
    try #require(TestMachine.cCompiler),
    ["-O2", "-shared", "-fPIC", "-o", library, TestMachine.sourceRoot + "/Tests/ClockShim/clock-shim.c", "-ldl"])
  try #require(compiled.succeeded, "\(compiled.error)")
  let shim = ShimFile(path: directory + "/offsets")
  try shim.set(jump: 0, suspend: 0)
  try await onStage { options in
    options.environment["LD_PRELOAD"] = library
    options.environment["CLOCK_SHIM_FILE"] = shim.path
  } _: { stage in
    try await play(stage, shim)
  }
}
