// The conditions of conditional models: --condition.
#pragma once
#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "cuvae/dataset.h"
#include "cuvae/vae.h"

namespace cuvae::cli {

/// The word that stands for the labels of the data set, in place of a file.
inline constexpr const char* kLabels = "labels";

/// The data of `path` with their conditions: none, "labels" or a file. `classes` is the model's number of them; 0: as
/// many as there are. Throws Error.
Dataset with_conditions(const Dataset& data, const std::string& condition, const std::filesystem::path& path,
                        Split split, Index classes);

/// --condition of a command that makes examples of latents: classes, or a file with rows.
struct ConditionArguments {
  std::vector<std::string> given;

  void add_to(CLI::App& command, const std::string& help);
  /// The rows [n, C], n >= 1, or nothing for a model that reads none; those of `otherwise` where the flag is not given.
  /// Throws CLI::ValidationError.
  std::vector<float> rows(const VaeConfig& model, const std::vector<Index>& otherwise) const;
};

/// Every class of a model that reads labels.
std::vector<Index> all_classes(const VaeConfig& model);
/// One-hot rows [n, C] of these classes of the model.
std::vector<float> one_hot(const VaeConfig& model, const std::vector<Index>& classes);
/// Rows [count, C], these rows in turn, from the first one on.
std::vector<float> in_turn(const VaeConfig& model, const std::vector<float>& rows, Index count);

}  // namespace cuvae::cli
