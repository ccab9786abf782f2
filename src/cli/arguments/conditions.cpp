#include "cli/arguments/conditions.h"

#include <algorithm>
#include <numeric>

#include "cuvae/error.h"

namespace cuvae::cli {
namespace {

constexpr const char* kFlag = "--condition";

bool is_class(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string classes_of(const VaeConfig& model) { return "0 to " + std::to_string(model.condition_dim - 1); }

Index class_of(const VaeConfig& model, const std::string& text) {
  const Index number = is_class(text) && text.size() < 10 ? std::stol(text) : model.condition_dim;
  if (number < model.condition_dim) return number;
  throw CLI::ValidationError(kFlag, text + " is not one of the model's classes, " + classes_of(model));
}

std::vector<float> rows_of_labels(const VaeConfig& model, const std::string& file) {
  const auto labels = open_label_vector(file);
  if (!labels) throw CLI::ValidationError(kFlag, file + " holds no vector of labels, which the model reads");
  std::vector<Index> classes;
  for (const std::uint8_t label : *labels) classes.push_back(class_of(model, std::to_string(label)));
  return one_hot(model, classes);
}

// The numbers of a file as the data's conditions have them, integers not divided by 255.
std::vector<float> rows_of_columns(const VaeConfig& model, const std::string& file) {
  const Dataset columns = Dataset::open(file, Split::train, {model.condition_dim});
  return columns.with_conditions(columns).condition_rows(0, columns.rows());
}

}  // namespace

Dataset with_conditions(const Dataset& data, const std::string& condition, const std::filesystem::path& path,
                        Split split, Index classes) {
  if (condition.empty()) return data;
  if (condition == kLabels) {
    const std::vector<std::uint8_t> labels = open_labels(path, split);
    if (labels.empty())
      throw Error(path.string() + ": no labels are known by their file's name: give a file by --condition");
    return data.with_labels(labels, classes);
  }
  if (const auto labels = open_label_vector(condition)) return data.with_labels(*labels, classes);
  return data.with_conditions(Dataset::open(condition, split));
}

void ConditionArguments::add_to(CLI::App& command, const std::string& help) {
  command.add_option(kFlag, given, "Of conditional models: " + help)->type_name("CLASS|FILE")->delimiter(',');
}

std::vector<float> ConditionArguments::rows(const VaeConfig& model, const std::vector<Index>& otherwise) const {
  if (!model.is_conditional()) {
    if (!given.empty()) throw CLI::ValidationError(kFlag, "has no effect on this model, which reads no conditions");
    return {};
  }
  const bool labels = model.condition == ConditionKind::labels;
  if (given.empty() && (!labels || otherwise.empty()))
    throw CLI::ValidationError(
        kFlag, labels ? "is needed: the model reads a class, " + classes_of(model)
                      : "is needed: the model reads " + std::to_string(model.condition_dim) + " columns, of a file");
  if (given.empty()) return one_hot(model, otherwise);
  if (given.size() == 1 && !(labels && is_class(given.front())))
    return labels ? rows_of_labels(model, given.front()) : rows_of_columns(model, given.front());
  if (!labels) throw CLI::ValidationError(kFlag, "takes one file: the model reads columns");
  std::vector<Index> classes;
  for (const std::string& text : given) classes.push_back(class_of(model, text));
  return one_hot(model, classes);
}

std::vector<Index> all_classes(const VaeConfig& model) {
  std::vector<Index> classes(static_cast<std::size_t>(model.condition_dim));
  std::iota(classes.begin(), classes.end(), 0);
  return classes;
}

std::vector<float> one_hot(const VaeConfig& model, const std::vector<Index>& classes) {
  std::vector<float> rows(classes.size() * static_cast<std::size_t>(model.condition_dim));
  for (std::size_t i = 0; i < classes.size(); ++i)
    rows[i * static_cast<std::size_t>(model.condition_dim) + static_cast<std::size_t>(classes[i])] = 1;
  return rows;
}

std::vector<float> in_turn(const VaeConfig& model, const std::vector<float>& rows, Index count) {
  std::vector<float> all(static_cast<std::size_t>(count * model.condition_dim));
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = rows[i % rows.size()];
  return all;
}

}  // namespace cuvae::cli
