// cuvae sample, reconstruct, interpolate, traverse, manifold: pictures from a trained model.
#include <cmath>
#include <numeric>
#include <random>

#include "cli/arguments/arguments.h"
#include "cli/arguments/conditions.h"
#include "cli/arguments/latents.h"
#include "cli/commands/command.h"
#include "cli/run/pictures.h"
#include "cli/run/run_folder.h"

namespace cuvae::cli {
namespace {

/// MODEL and --out, the arguments of every command in this file.
struct PictureArguments : ModelArguments {
  std::string out;

  void add_to(CLI::App& command) {
    ModelArguments::add_to(command);
    command
        .add_option("--out", out,
                    "The file to write: a picture, .png, or an array of the values, .npy; -: the array to stdout")
        ->type_name("FILE")
        ->required()
        ->check(with_extension({".png", ".npy"}));
  }
  LoadedModel load() const {
    check_writable(out);
    return ModelArguments::load();
  }
  void write(const std::vector<float>& examples, const VaeConfig& config, Index columns) const {
    write_output(out, examples, config, columns);
  }
};

// Bounded so that a typing error does not fill the memory.
constexpr Range kExamples{1, 1e6}, kSteps{2, 1000}, kSide{1, 1000}, kWidth{0, 1000};

void check_dims(const std::vector<Index>& dims, Index latent) {
  for (const Index dim : dims)
    if (dim >= latent)
      throw CLI::ValidationError(
          "--dims", std::to_string(dim) + " is not one of the model's dimensions, 0 to " + std::to_string(latent - 1));
}

struct SampleArguments : PictureArguments {
  ConditionArguments condition;
  Index count = 64;
  std::uint64_t seed = 0;
  float temperature = 1.0F;
  bool mean = false, binary = false;
};

int sample(const SampleArguments& a) {
  refuse_idle(*a.app, "--seed",
              unless(a.temperature > 0 || !a.mean, "with --temperature 0 and --mean: no random numbers are needed"));
  const LoadedModel model = a.load();
  if (a.binary && a.mean) throw CLI::ValidationError("--binary", "asks for samples, but --mean asks for means");
  if (a.binary && !is_binary(model.config().likelihood))
    throw CLI::ValidationError("--binary", "the model's likelihood is " +
                                               std::string(to_string(model.config().likelihood)) +
                                               ", whose samples are not 0 or 1");
  const std::vector<float> rows = a.condition.rows(model.config(), all_classes(model.config()));
  const Index turn = rows.empty() ? 1 : static_cast<Index>(rows.size()) / model.config().condition_dim;
  const Index square = square_columns(a.count), columns = turn > a.count ? square : whole_turns(turn, square);
  const bool whole_rows = turn > 1 && turn <= a.count && a.app->count("--count") == 0;
  const Index count = whole_rows ? whole_turns(columns, a.count + columns - 1) : a.count;
  const std::vector<float> z = model.vae.sample_prior(count, a.seed, a.temperature),
                           conditions = in_turn(model.config(), rows, count);
  a.write(a.mean ? model.vae.decode(z, conditions) : model.vae.sample(z, a.seed, conditions), model.config(), columns);
  return 0;
}

struct ReconstructArguments : PictureArguments {
  DataArguments data;
  Index count = 32;
};

int reconstruct(const ReconstructArguments& a) {
  const LoadedModel model = a.load();
  const Dataset data = a.data.open(model);
  if (a.app->count("--count") > 0 && a.count > data.rows())
    throw CLI::ValidationError("--count", "is " + std::to_string(a.count) + ", but the data have only " +
                                              std::to_string(data.rows()) +
                                              (data.rows() == 1 ? " example" : " examples"));
  const Index count = std::min(a.count, data.rows());
  // In an array all examples come first; in a picture rows of examples and reconstructions alternate.
  const Index columns = is_array(a.out) ? count : std::min<Index>(count, 8);
  write_reconstructions(a.out, model.vae, a.data.input(model, data, 0, count), data.condition_rows(0, count), columns);
  print_colors(a.out, model.config());
  return 0;
}

struct InterpolateArguments : PictureArguments {
  DataArguments data;
  Index from = 0, to = 1, steps = 10, rows = 0;
};

// The examples at the ends of each row.
std::vector<std::pair<Index, Index>> pairs_of(const InterpolateArguments& a, Index count) {
  if (a.rows == 0) return {{a.from, a.to}};
  std::mt19937_64 random(a.data.seed);
  const auto draw = [&] { return static_cast<Index>(random() % static_cast<std::uint64_t>(count)); };
  std::vector<std::pair<Index, Index>> pairs;
  while (static_cast<Index>(pairs.size()) < a.rows) {
    const Index first = draw();
    pairs.emplace_back(first, draw());
  }
  return pairs;
}

int interpolate(const InterpolateArguments& a) {
  for (const char* flag : {"--from", "--to"})
    refuse_idle(*a.app, flag, unless(a.rows == 0, "with --rows, which chooses random pairs"));
  const LoadedModel model = a.load();
  const Dataset data = a.data.open(model, a.rows > 0);
  std::vector<float> z, conditions;
  const auto add_line = [&](std::vector<float>& points, const std::vector<float>& first,
                            const std::vector<float>& last) {
    const std::vector<float> line = line_points(first.data(), last.data(), static_cast<Index>(first.size()), a.steps);
    points.insert(points.end(), line.begin(), line.end());
  };
  for (const auto& [from, to] : pairs_of(a, data.rows())) {
    const std::vector<float> first = data.condition_rows(from, 1), last = data.condition_rows(to, 1);
    add_line(z, posterior_means(model.vae, a.data.input(model, data, from, 1), first),
             posterior_means(model.vae, a.data.input(model, data, to, 1), last));
    add_line(conditions, first, last);
  }
  a.write(model.vae.decode(z, conditions), model.config(), a.steps);
  return 0;
}

struct TraverseArguments : PictureArguments {
  DataArguments data;
  Index index = -1, steps = 11;
  float range = 3.0F;
  std::vector<Index> dims;
};

// One condition for all pictures; class 0 where none is given.
std::vector<float> one_condition(const ConditionArguments& condition, const VaeConfig& model) {
  std::vector<float> row = condition.rows(model, {0});
  if (static_cast<Index>(row.size()) == model.condition_dim) return row;
  throw CLI::ValidationError("--condition", "gives " +
                                                std::to_string(static_cast<Index>(row.size()) / model.condition_dim) +
                                                " conditions, but there is one for all pictures");
}

// Each point decoded under the same condition.
std::vector<float> decoded(const Vae& vae, const std::vector<float>& z, const std::vector<float>& condition) {
  return vae.decode(z, in_turn(vae.config(), condition, static_cast<Index>(z.size()) / vae.config().latent));
}

int traverse(const TraverseArguments& a) {
  for (const char* flag : {"--data", "--split", "--pixel-scale", "--missing", "--binarize", "--seed"})
    refuse_idle(*a.app, flag, unless(a.index >= 0, "without --index: no example is read"));
  const LoadedModel model = a.load();
  if (model.config().has_bernoulli_latents())
    throw Error("traverse: varies latents that are real numbers, but those of the model are 0 or 1");
  std::vector<Index> dims = a.dims;
  if (dims.empty()) {
    dims.resize(static_cast<std::size_t>(model.config().latent));
    std::iota(dims.begin(), dims.end(), 0);
  }
  check_dims(dims, model.config().latent);
  std::vector<float> center(static_cast<std::size_t>(model.config().latent));
  std::vector<float> condition;
  if (a.index >= 0) {
    const Dataset data = a.data.open(model);
    condition = data.condition_rows(a.index, 1);
    center = posterior_means(model.vae, a.data.input(model, data, a.index, 1), condition);
  } else {
    const std::string& given = a.data.condition;
    condition = one_condition({given.empty() ? std::vector<std::string>{} : std::vector{given}}, model.config());
  }
  a.write(decoded(model.vae, axis_points(center, dims, a.range, a.steps), condition), model.config(), a.steps);
  return 0;
}

struct ManifoldArguments : PictureArguments {
  ConditionArguments condition;
  Index size = 20;
  std::vector<Index> dims{0, 1};
};

int manifold(const ManifoldArguments& a) {
  const LoadedModel model = a.load();
  const Index latent = model.config().latent;
  if (latent < 2) throw Error("manifold: the model has 1 latent dimension but needs at least 2: use traverse");
  if (!model.config().has_closed_form_kl())
    throw Error("manifold: shows quantiles of one latent layer under a standard normal, but the model has " +
                (!model.config().above.empty() ? "several layers"
                 : model.config().has_bernoulli_latents()
                     ? "Bernoulli latents"
                     : "the prior " + std::string(to_string(model.config().prior))));
  check_dims(a.dims, latent);
  a.write(decoded(model.vae, plane_points(a.size, latent, a.dims[0], a.dims[1]),
                  one_condition(a.condition, model.config())),
          model.config(), a.size);
  return 0;
}

// Declares a command with its arguments.
template <class Arguments>
std::pair<CLI::App*, std::shared_ptr<Arguments>> declare(CLI::App& program, const char* name, const char* help) {
  CLI::App* const app = program.add_subcommand(name, help);
  const auto arguments = std::make_shared<Arguments>();
  arguments->add_to(*app);
  return {app, arguments};
}

}  // namespace

Command add_sample(CLI::App& program) {
  const auto [app, a] =
      declare<SampleArguments>(program, "sample", "Sample new examples: z from the prior, then x from p(x|z)");
  add_number(*app, "--count", a->count, "Number of examples", kExamples);
  a->condition.add_to(*app, "classes or a file with rows, which are taken in turn (default: every class)");
  add_number(*app, "--seed", a->seed, "Seed of the samples", kAnySeed);
  add_number(*app, "--temperature", a->temperature, "Standard deviation of z", kWidth);
  app->add_flag("--mean", a->mean, "Write the means E[x|z], without the noise of p(x|z)");
  app->add_flag("--binary", a->binary)->group("");  // now the default; accepted for older scripts
  app->footer(
      "A sample of a Bernoulli model has pixels 0 and 1. A sample of another model has the noise of p(x|z).\n"
      "Pictures of a Bernoulli model are smoother with --mean, which shows the probabilities as gray values.\n"
      "Of a conditional model, each column of a picture has one condition, and without --count all rows are full.\n\n"
      "Examples:\n  cuvae sample runs/first --out samples.png --count 100 --seed 1 --mean\n"
      "  cuvae sample runs/digits --out sevens.png --condition 7");
  return {app, [a = a] { return sample(*a); }};
}

Command add_reconstruct(CLI::App& program) {
  const auto [app, a] =
      declare<ReconstructArguments>(program, "reconstruct", "Show examples and their reconstructions");
  a->data.add_to(*app);
  add_number(*app, "--count", a->count, "Number of examples, from the first one on", kExamples);
  app->footer(
      "A reconstruction is the mean of p(x|z) at the posterior mean of z.\n"
      "Examples are binarized as in training unless --binarize is given.\n"
      "In a picture, a row of reconstructions follows each row of examples. A missing value is halfway between\n"
      "black and white there, in an array it is NaN.\n"
      "In an array, all reconstructions follow all examples.\n\n"
      "Example:\n  cuvae reconstruct runs/first --data data/mnist-10k --out reconstructions.png");
  return {app, [a = a] { return reconstruct(*a); }};
}

Command add_interpolate(CLI::App& program) {
  const auto [app, a] = declare<InterpolateArguments>(program, "interpolate",
                                                      "Show the way from one example to another in the latent space");
  a->data.add_to(*app, "Seed of the random pairs and the binarization");
  add_number(*app, "--from", a->from, "Index of the first example", kCountOrZero);
  add_number(*app, "--to", a->to, "Index of the last example", kCountOrZero);
  add_number(*app, "--steps", a->steps, "Points on the way, both ends included", kSteps);
  add_number(*app, "--rows", a->rows, "Use this many random pairs, one in each row; 0: use --from and --to", kWidth);
  app->footer(
      "The way is a straight line between the posterior means. Each point is shown as the mean of p(x|z).\n"
      "The conditions of a conditional model go the same way.\n\n"
      "Example:\n  cuvae interpolate runs/first --data data/mnist-10k --out walk.png --rows 8");
  return {app, [a = a] { return interpolate(*a); }};
}

Command add_traverse(CLI::App& program) {
  const auto [app, a] = declare<TraverseArguments>(
      program, "traverse", "Show one row for each latent dimension, with that dimension varied");
  a->data.add_to(*app);
  add_number(*app, "--index", a->index, "Index of the example whose posterior mean is varied (default: vary z = 0)",
             kCountOrZero)
      ->default_str("");
  add_number(*app, "--range", a->range, "Vary the dimension from -X to X", kWidth);
  add_number(*app, "--steps", a->steps, "Points in a row", kSteps);
  add_numbers(*app, "--dims", a->dims, "The dimensions to vary (default: all)", kCountOrZero);
  app->footer(
      "Without --index, --condition gives a class or a file with one row of columns (default: class 0).\n\n"
      "Example:\n  cuvae traverse runs/first --data data/mnist-10k --index 7 --out traverse.png");
  return {app, [a = a] { return traverse(*a); }};
}

Command add_manifold(CLI::App& program) {
  const auto [app, a] =
      declare<ManifoldArguments>(program, "manifold", "Show a plane of the latent space as a grid of decoded points");
  add_number(*app, "--size", a->size, "Points along each side", kSide);
  add_numbers(*app, "--dims", a->dims, "The two dimensions; the others are 0", kCountOrZero)->expected(2);
  a->condition.add_to(*app, "a class, or a file with one row (default: class 0)");
  app->footer(
      "The points are at equally spaced quantiles of the prior. Each is shown as the mean of p(x|z).\n\n"
      "Example:\n  cuvae manifold runs/plane --out manifold.png");
  return {app, [a = a] { return manifold(*a); }};
}

}  // namespace cuvae::cli
