// What commands write: pictures and arrays of examples.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "cuvae/dataset.h"
#include "cuvae/vae.h"

namespace cuvae::cli {

/// Examples [count, D] as a PNG picture of a grid, or as an NPY array, by is_array(). Throws Error, also where
/// no picture can show them.
void write_examples(const std::filesystem::path& path, const std::vector<float>& examples, const VaeConfig& model,
                    Index columns);

/// A matrix [rows, cols] as an NPY array; "-" is the standard output. Throws Error.
void write_array(const std::filesystem::path& path, const float* data, Index rows, Index cols);

/// Whether an output of this name is an array and no picture.
bool is_array(const std::filesystem::path& path);

/// What the colors of the model's pictures mean: "gray, 0 is black and 1 is white". Every picture says so itself, too.
std::string colors_of(const VaeConfig& model);

/// The largest grid of the model's examples that is good to look at, of at least two rows where these can be; no rows
/// where no picture can show two examples.
struct GridSize {
  Index rows = 0, columns = 0;
};
GridSize largest_grid(const VaeConfig& model);

/// Columns of a grid that is about as wide as high.
Index square_columns(Index count);

/// A grid with `columns` examples in a row, and under each row its reconstructions from the posterior means; the last
/// row is filled up with black pictures. `examples` is [count, D].
std::vector<float> with_reconstructions(const Vae& vae, const std::vector<float>& examples, Index columns);

/// The posterior means [count, L].
std::vector<float> posterior_means(const Vae& vae, const std::vector<float>& examples);

}  // namespace cuvae::cli
