// All commands of the program, ready to parse.
#pragma once
#include <memory>
#include <vector>

#include "cli/commands/command.h"

namespace cuvae::cli {

struct Program {
  Program();
  CLI::App app;
  std::vector<Command> commands;
};

/// The message for wrong usage.
std::string usage_text(const CLI::App& program, const CLI::ParseError& error);

}  // namespace cuvae::cli
