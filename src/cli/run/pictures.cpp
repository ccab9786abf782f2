#include "cli/run/pictures.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <numeric>
#include <utility>

#include "cli/run/quantities.h"
#include "cli/run/run_folder.h"
#include "data/formats/npy.h"
#include "io/image.h"
#include "io/text.h"

namespace cuvae::cli {
namespace {

constexpr Index kPadding = 1;

// Small pictures are magnified, but the whole grid is kept small enough for a screen.
Index magnification(Index rows, Index columns, const VaeConfig& model) {
  constexpr Index wanted_side = 56, widest = 4096;
  const Index side = std::max(model.image_height, model.image_width);
  const Index longest = std::max(rows * model.image_height, columns * model.image_width);
  return std::max<Index>(1, std::min(wanted_side / side, widest / longest));
}

}  // namespace

std::string colors_of(const VaeConfig& model) {
  return std::string(model.image_channels == 3 ? "RGB, " : "gray, ") + number(model.image_black) + " is black and " +
         number(model.image_white) + " is white";
}

GridSize largest_grid(const VaeConfig& model) {
  constexpr Index good_side = 4096;
  const auto fit = [](Index side, Index most) { return (most - kPadding) / (side + kPadding); };
  const auto count = [&](Index side, Index wanted) {
    return std::max(fit(side, good_side), std::min(wanted, fit(side, kLongestImageSide)));
  };
  const GridSize size = {count(model.image_height, 2), count(model.image_width, 1)};
  return model.image_height == 1 || size.rows < 2 || size.columns < 1 ? GridSize{} : size;
}

namespace {

// Writes a grid without looking at its values.
void write_grid(const std::filesystem::path& path, const std::vector<float>& examples, const VaeConfig& model,
                Index columns) {
  const Index count = static_cast<Index>(examples.size()) / model.data_dim;
  if (is_array(path)) return write_array(path, examples.data(), {count, model.data_dim});
  if (model.image_height == 1)
    throw Error(path.string() + ": this model's examples are not pictures: write an array (.npy) instead");
  columns = std::min(columns, count);
  const Index rows = (count + columns - 1) / columns;
  if (rows * (model.image_height + kPadding) + kPadding > kLongestImageSide ||
      columns * (model.image_width + kPadding) + kPadding > kLongestImageSide)
    throw Error(path.string() + ": " + std::to_string(rows) + " rows of " + std::to_string(columns) + " examples of " +
                std::to_string(model.image_height) + " x " + std::to_string(model.image_width) +
                " pixels do not fit a picture of " + std::to_string(kLongestImageSide) + " x " +
                std::to_string(kLongestImageSide) + ": ask for fewer examples, or write an array (.npy) instead");
  const PictureLayout layout{model.image_height,         model.image_width, model.image_channels,
                             model.image_channels_first, model.image_black, model.image_white};
  Image image = image_grid(examples.data(), count, layout, columns, kPadding, magnification(rows, columns, model));
  image.description = "cuvae: " + colors_of(model);
  write_png(path, image);
}

}  // namespace

void write_examples(const std::filesystem::path& path, const std::vector<float>& examples, const VaeConfig& model,
                    Index columns) {
  require_finite(examples, model.data_dim, path.string());
  write_grid(path, examples, model, columns);
}

void write_output(const std::filesystem::path& path, const std::vector<float>& examples, const VaeConfig& model,
                  Index columns) {
  write_examples(path, examples, model, columns);
  print_colors(path, model);
}

void print_colors(const std::filesystem::path& path, const VaeConfig& model) {
  if (!is_array(path) && !(model.image_black == 0 && model.image_white == 1))
    std::cout << printable(path.string()) << ": " << colors_of(model) << '\n';
}

void write_array(const std::filesystem::path& path, const float* data, const std::vector<Index>& shape) {
  if (path != kStandardOutput) return write_npy(path, data, shape);
  write_npy(std::cout, data, shape);
}

bool is_array(const std::filesystem::path& path) { return path == kStandardOutput || path.extension() == ".npy"; }

Index square_columns(Index count) { return static_cast<Index>(std::ceil(std::sqrt(static_cast<double>(count)))); }

std::vector<float> posterior_means(const Vae& vae, const std::vector<float>& examples,
                                   const std::vector<float>& conditions) {
  const Index latent = vae.config().latent;
  const std::vector<float> stats = vae.encode(examples, conditions);
  std::vector<float> means;
  for (auto row = stats.begin(); row != stats.end(); row += 2 * latent) means.insert(means.end(), row, row + latent);
  return means;
}

void write_reconstructions(const std::filesystem::path& path, const Vae& vae, const std::vector<float>& examples,
                           const std::vector<float>& conditions, Index columns) {
  const VaeConfig& model = vae.config();
  const std::vector<float> decoded = vae.decode(posterior_means(vae, examples, conditions), conditions);
  require_finite(decoded, model.data_dim, path.string());
  std::vector<float> shown = examples;
  if (!model.missing_values)
    require_finite(shown, model.data_dim, path.string());
  else if (!is_array(path))
    std::replace_if(
        shown.begin(), shown.end(), [](float v) { return std::isnan(v); },
        std::midpoint(model.image_black, model.image_white));
  const std::size_t row = static_cast<std::size_t>(columns * model.data_dim);
  std::vector<float> grid;
  for (std::size_t first = 0; first < shown.size(); first += row) {
    for (const auto* part : {&std::as_const(shown), &decoded}) {
      const std::size_t end = std::min(first + row, part->size());
      grid.insert(grid.end(), part->begin() + static_cast<Index>(first), part->begin() + static_cast<Index>(end));
      grid.resize(grid.size() + first + row - end, model.image_black);
    }
  }
  write_grid(path, grid, model, columns);
}

}  // namespace cuvae::cli
