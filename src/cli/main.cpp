// The program: parses the command line and runs the command.
#include <iostream>

#include "cli/program.h"
#include "process/run_main.h"

namespace cuvae::cli {
namespace {

int run(const Program& program) {
  for (const Command& command : program.commands)
    if (command.app->parsed()) return command.run();
  std::cout << program.app.help();
  return 0;
}

int parse_and_run(int argc, char** argv) {
  Program program;
  try {
    program.app.parse(argc, argv);
    return run(program);
  } catch (const CLI::Success& help_or_version) {
    return program.app.exit(help_or_version);
  } catch (const CLI::ParseError& error) {
    return fail(kWrongUsage, usage_text(program.app, error));
  }
}

}  // namespace
}  // namespace cuvae::cli

int main(int argc, char** argv) {
  return cuvae::cli::run_main("cuvae", [&] { return cuvae::cli::parse_and_run(argc, argv); });
}
