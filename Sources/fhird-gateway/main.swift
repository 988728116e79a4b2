/// The program: everything is in FHIRGateway.
import FHIRGateway
import Glibc

exit(GatewayProgram.run(Array(CommandLine.arguments.dropFirst())))
