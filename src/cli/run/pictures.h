// The outputs of commands: pictures and arrays of examples.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "cuvae/dataset.h"
#include "cuvae/vae.h"

namespace cuvae::cli {

/// Writes examples [count, D] as a PNG picture of a grid, or as an NPY array if is_array(path). Throws Error, also
/// for examples that no picture can show.
void write_examples(const std::filesystem::path& path, const std::vector<float>& examples, const VaeConfig& model,
                    Index columns);

/// Says on stdout what the colors of a picture mean. Says nothing of an array, and if 0 is black and 1 is white.
void print_colors(const std::filesystem::path& path, const VaeConfig& model);

/// write_examples() for an output that the user named, then print_colors().
void write_output(const std::filesystem::path& path, const std::vector<float>& examples, const VaeConfig& model,
                  Index columns);

/// Writes an array of this shape as NPY; the path "-" is the standard output. Throws Error.
void write_array(const std::filesystem::path& path, const float* data, const std::vector<Index>& shape);

/// Whether an output with this name is an array, not a picture.
bool is_array(const std::filesystem::path& path);

/// The meaning of the colors in the model's pictures: "gray, 0 is black and 1 is white". PNG files also hold it.
std::string colors_of(const VaeConfig& model);

/// The largest grid of the model's examples that fits a screen, with at least two rows if a picture can hold them.
/// 0 rows if no picture can show two examples.
struct GridSize {
  Index rows = 0, columns = 0;
};
GridSize largest_grid(const VaeConfig& model);

/// The number of columns of a grid that is about as wide as it is high.
Index square_columns(Index count);
/// As many as go into `most` in whole turns of `turn`, at least one turn.
constexpr Index whole_turns(Index turn, Index most) { return most < turn ? turn : most / turn * turn; }

/// Writes `examples` [count, D] as a grid: each row of `columns` examples is followed by a row of their reconstructions
/// from the posterior means. The last rows are filled up with black pictures. In a picture missing values are halfway
/// between black and white, in an array NaN. Throws Error as write_examples().
void write_reconstructions(const std::filesystem::path& path, const Vae& vae, const std::vector<float>& examples,
                           const std::vector<float>& conditions, Index columns);

/// The posterior means [count, L].
std::vector<float> posterior_means(const Vae& vae, const std::vector<float>& examples,
                                   const std::vector<float>& conditions);

}  // namespace cuvae::cli
