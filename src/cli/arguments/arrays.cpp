// cuvae encode and cuvae decode: from examples to latents and back, as arrays.
#include "cli/arguments/arguments.h"
#include "cli/arguments/conditions.h"
#include "cli/commands/command.h"
#include "cli/run/pictures.h"
#include "cli/run/quantities.h"
#include "cli/run/run_folder.h"

namespace cuvae::cli {
namespace {

struct EncodeArguments : ModelArguments {
  DataArguments data;
  std::string out;
};

int encode(const EncodeArguments& arguments) {
  constexpr Index batch = 1024;
  check_writable(arguments.out);
  const LoadedModel model = arguments.load();
  const Dataset data = arguments.data.open(model);
  std::vector<float> stats;
  for (Index first = 0; first < data.rows(); first += batch) {
    const Index count = std::min(batch, data.rows() - first);
    const std::vector<float> part =
        model.vae.encode(arguments.data.input(model, data, first, count), data.condition_rows(first, count));
    stats.insert(stats.end(), part.begin(), part.end());
  }
  require_finite(stats, 2 * model.config().latent, "encode: the posteriors");
  write_array(arguments.out, stats.data(), {data.rows(), 2 * model.config().latent});
  return 0;
}

struct DecodeArguments : ModelArguments {
  std::string in, out;
  ConditionArguments condition;
};

// The array holds points, or the output of encode, of which the means are used. Integers are not scaled.
std::vector<float> read_points(const Dataset& latents, Index latent) {
  const auto value = [&](Index i) {
    return latents.dtype() == DType::f32 ? static_cast<const float*>(latents.data())[i]
                                         : static_cast<float>(static_cast<const std::uint8_t*>(latents.data())[i]);
  };
  std::vector<float> points;
  for (Index i = 0; i < latents.rows(); ++i)
    for (Index j = 0; j < latent; ++j) points.push_back(value(i * latents.cols() + j));
  return points;
}

int decode(const DecodeArguments& arguments) {
  check_writable(arguments.out);
  const LoadedModel model = arguments.load();
  const Index latent = model.config().latent;
  const Dataset latents = Dataset::open(arguments.in, Split::train, {latent, 2 * latent});
  const std::vector<float> conditions = arguments.condition.rows(model.config(), {});
  if (const Index rows = conditions.empty() ? 1 : static_cast<Index>(conditions.size()) / model.config().condition_dim;
      rows != 1 && rows != latents.rows())
    throw CLI::ValidationError("--condition", "gives " + std::to_string(rows) + " conditions for " +
                                                  std::to_string(latents.rows()) +
                                                  " latents: give one, or one for each");
  write_output(arguments.out,
               model.vae.decode(read_points(latents, latent), in_turn(model.config(), conditions, latents.rows())),
               model.config(), square_columns(latents.rows()));
  return 0;
}

}  // namespace

Command add_encode(CLI::App& program) {
  CLI::App* const app = program.add_subcommand("encode", "Write the posteriors of examples to an array");
  const auto arguments = std::make_shared<EncodeArguments>();
  arguments->add_to(*app);
  arguments->data.add_to(*app);
  app->add_option("--out", arguments->out, "The array to write, .npy; -: stdout")
      ->type_name("FILE")
      ->required()
      ->check(with_extension({".npy"}));
  app->footer(
      "The array is float32 [N, 2L]: each row holds the L means, then the L log variances,\n"
      "of Bernoulli latents the L probabilities, then the L logits; with several latent layers, of the first.\n"
      "Examples are binarized as in training unless --binarize is given.\n"
      "'cuvae decode' reads this array and decodes the means.\n"
      "In Python: mean, logvar = numpy.split(numpy.load('latents.npy'), 2, axis=1)\n\n"
      "Example:\n  cuvae encode runs/first --data data/mnist-10k --split train --out latents.npy");
  return {app, [arguments] { return encode(*arguments); }};
}

Command add_decode(CLI::App& program) {
  CLI::App* const app = program.add_subcommand("decode", "Decode an array of latents to the means of p(x|z)");
  const auto arguments = std::make_shared<DecodeArguments>();
  arguments->add_to(*app);
  app->add_option("--in", arguments->in,
                  "The latents [N, L], or [N, 2L] as written by encode: NPY, NPZ, CSV or IDX; -: stdin")
      ->type_name("FILE")
      ->required();
  app->add_option("--out", arguments->out,
                  "Where to write the examples: a picture, .png, or an array [N, D], .npy; -: the array to stdout")
      ->type_name("FILE")
      ->required()
      ->check(with_extension({".png", ".npy"}));
  arguments->condition.add_to(*app, "a class or a file; one row for all latents, or one for each");
  app->footer("Example:\n  cuvae decode runs/first --in z.npy --out decoded.png");
  return {app, [arguments] { return decode(*arguments); }};
}

}  // namespace cuvae::cli
