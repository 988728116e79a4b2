/// The program: parse, run, tell, exit.
import Glibc

exit(Program.run(Array(CommandLine.arguments.dropFirst())))
