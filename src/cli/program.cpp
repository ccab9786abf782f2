#include "cli/program.h"

#include <string>

namespace cuvae::cli {
namespace {

// CLI11's layout, but with one blank line instead of two.
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

}  // namespace

Program::Program() : app("Trains variational autoencoders and shows what they have learned.", "cuvae") {
  app.set_version_flag("--version", "cuvae " CUVAE_VERSION, "Print the version and exit");
  app.formatter(std::make_shared<HelpFormatter>());
  app.footer(
      "Help for one command: cuvae train --help\n\n"
      "Example:\n"
      "  cuvae train --data data/mnist-10k --out runs/first --epochs 5\n"
      "  cuvae eval runs/first --data data/mnist-10k");
  commands = {add_train(app),       add_resume(app),   add_eval(app),       add_sample(app), add_reconstruct(app),
              add_interpolate(app), add_traverse(app), add_manifold(app),   add_encode(app), add_decode(app),
              add_impute(app),      add_info(app),     add_estimators(app), add_devices(app)};
  for (const Command& command : commands) command.app->group("Commands");
}

std::string usage_text(const CLI::App& program, const CLI::ParseError& error) {
  const auto chosen = program.get_subcommands();
  const std::string name = chosen.empty() ? "" : " " + chosen.front()->get_name();
  return std::string(error.what()) + " (try 'cuvae" + name + " --help')";
}

}  // namespace cuvae::cli
