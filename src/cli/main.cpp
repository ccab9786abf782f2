// The program: parses the command line, runs the command, and reports every failure in one line.
#include <unistd.h>

#include <exception>
#include <iostream>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

#include "cli/program.h"
#include "io/text.h"
#include "process/mapped_files.h"
#include "process/process.h"

namespace {

constexpr int kFailure = 1, kWrongUsage = 2;

// The text may hold names from untrusted files, so control characters are escaped.
int fail(int code, const std::string& text) {
  std::cerr << "cuvae: " + cuvae::printable(text) + "\n";
  return code;
}

int run(cuvae::cli::Program& program) {
  for (const auto& command : program.commands) {
    if (!command.app->parsed()) continue;
    const int code = command.run();
    if (!std::cout.flush()) return fail(kFailure, "cannot write to standard output");
    return code;
  }
  std::cout << program.app.help();
  return 0;
}

// Allocates no memory.
void tell(std::string_view line) {
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

int report(const char* text) noexcept {
  try {
    return fail(kFailure, text);
  } catch (const std::exception&) {
    tell("cuvae: not enough memory\n");
    return kFailure;
  }
}

// Called for an exception that nothing catches, as in a library's threads. Almost always an allocation failed.
[[noreturn]] void on_terminate() {
  tell("cuvae: not enough memory, or a bug in the program\n");
  ::_exit(kFailure);
}

int parse_and_run(int argc, char** argv) {
  namespace cli = cuvae::cli;
  cli::Program program;
  try {
    program.app.parse(argc, argv);
    return run(program);
  } catch (const CLI::Success& help_or_version) {
    return program.app.exit(help_or_version);
  } catch (const CLI::ParseError& error) {
    return fail(kWrongUsage, cli::usage_text(program.app, error));
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::set_terminate(on_terminate);
  try {
    cuvae::cli::prepare_process();
    cuvae::cli::report_cut_files();
    return parse_and_run(argc, argv);
  } catch (const std::bad_alloc&) {
    return report("not enough memory");
  } catch (const std::length_error&) {  // a container that cannot be so long
    return report("not enough memory");
  } catch (const std::exception& error) {
    return report(error.what());
  }
}
