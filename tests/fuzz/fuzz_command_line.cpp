// The arguments of a command, one per line, or a config.json: parsed, not run.
#include <algorithm>
#include <sstream>

#include "cli/arguments/config_file.h"
#include "cli/program.h"
#include "cuvae/error.h"
#include "fuzz.h"

namespace {

void parse(const std::string& text) {
  std::vector<std::string> arguments;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) arguments.push_back(line);
  std::reverse(arguments.begin(), arguments.end());  // CLI11 expects the reverse order
  cuvae::cli::Program program;
  try {
    program.app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    const std::string told = cuvae::cli::usage_text(program.app, error);
    if (told.empty()) __builtin_trap();
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cuvae;
  static const fuzz::MemoryFile file("config.json");
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (!text.starts_with('{')) {
    fuzz::run([&] { parse(text); });
    return 0;
  }
  file.write(data, size);
  fuzz::run([&] {
    const cli::Settings settings = cli::read_config(file.path());
    cli::settings_json(settings);
  });
  return 0;
}
