// The program: finds the command, runs it, and turns every failure into one line.
#include <iostream>
#include <new>
#include <string>

#include "cli/command.h"
#include "cli/mapped_files.h"
#include "cli/process.h"
#include "text.h"

namespace {

constexpr int kFailure = 1, kWrongUsage = 2;

// CLI11's layout, with one blank line where it leaves two.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() {
    label("SUBCOMMAND", "COMMAND");
    label("OPTIONS", "options");
    label("Positionals", "Arguments");
    column_width(34);
  }
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    return CLI::detail::find_and_replace(CLI::Formatter::make_help(app, name, mode), "\n\n\n", "\n\n");
  }
};

// Names in a text come from files and from other people.
int fail(int code, const std::string& text) {
  std::cerr << "cuvae: " + cuvae::printable(text) + "\n";
  return code;
}

int run(CLI::App& program, const std::vector<cuvae::cli::Command>& commands) {
  for (const auto& command : commands) {
    if (!command.app->parsed()) continue;
    const int code = command.run();
    if (!std::cout.flush()) return fail(kFailure, "cannot write to standard output");
    return code;
  }
  std::cout << program.help();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  namespace cli = cuvae::cli;
  cli::prepare_process();
  CLI::App program("Trains variational autoencoders, and shows what they learned.", "cuvae");
  program.set_version_flag("--version", "cuvae " CUVAE_VERSION, "Print the version and exit");
  program.formatter(std::make_shared<HelpFormatter>());
  program.footer(
      "Help for one command: cuvae train --help\n\n"
      "Example:\n"
      "  cuvae train --data data/mnist-10k --out runs/first --epochs 5\n"
      "  cuvae eval runs/first --data data/mnist-10k");
  const std::vector<cli::Command> commands = {
      cli::add_train(program),    cli::add_resume(program),      cli::add_eval(program),
      cli::add_sample(program),   cli::add_reconstruct(program), cli::add_interpolate(program),
      cli::add_traverse(program), cli::add_manifold(program),    cli::add_encode(program),
      cli::add_decode(program),   cli::add_info(program),        cli::add_estimators(program),
      cli::add_devices(program)};
  for (const cli::Command& command : commands) command.app->group("Commands");
  cli::report_cut_files();
  try {
    program.parse(argc, argv);
    return run(program, commands);
  } catch (const CLI::Success& help_or_version) {
    return program.exit(help_or_version);
  } catch (const CLI::ParseError& error) {
    const auto chosen = program.get_subcommands();
    const std::string name = chosen.empty() ? "" : " " + chosen.front()->get_name();
    return fail(kWrongUsage, std::string(error.what()) + " (try 'cuvae" + name + " --help')");
  } catch (const std::bad_alloc&) {
    return fail(kFailure, "not enough memory");
  } catch (const std::exception& error) {
    return fail(kFailure, error.what());
  }
}
