#include "study/models.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "data/check_data.h"

namespace cuvae::bench {
namespace {

constexpr Index kMid = 500, kEnd = 10000;  // steps of batch 128

Index steps_of(const Context& c, const std::string& stage) {
  return stage == "checkpoint" || stage == "init" ? 0
         : stage == "mid"                         ? (c.options.quick ? 50 : kMid)
                                                  : (c.options.quick ? 200 : kEnd);
}

// Training steps of nvil's network. Fewer for large batches, which take longer and give better gradients.
Index fit_steps(Index batch) { return std::clamp<Index>(256000 / batch, 100, 500); }

Index training_samples(const Point& point) { return traits(point.base()).least_samples; }

double weights_of(const VaeConfig& model) {
  double sum = 0;
  const auto add = [&](Index from, const std::vector<Index>& hidden, Index to) {
    for (const Index h : hidden) sum += static_cast<double>(from * h), from = h;
    sum += static_cast<double>(from * to);
  };
  add(model.data_dim, model.encoder_hidden, model.statistics(model.latent));
  add(model.latent, model.decoder_hidden, model.outputs());
  return sum;
}

}  // namespace

std::string Point::name() const {
  return stage + "/layers=" + std::to_string(layers) + (kind == LatentKind::bernoulli ? "/units=" : "/latent=") +
         std::to_string(latent) + "/K=" + std::to_string(samples) + "/batch=" + std::to_string(batch);
}

Json Point::json() const {
  return {{"stage", stage}, {"layers", layers}, {"latent", latent}, {"samples", samples}, {"batch", batch}};
}

Point base_point(const Context& c) {
  Point base;
  if (c.options.quick) base.samples = 2;
  if (c.options.checkpoint.empty()) return base;
  const VaeConfig model = read_checkpoint_info(c.options.checkpoint).model;
  base.stage = "checkpoint", base.layers = static_cast<Index>(model.encoder_hidden.size());
  base.latent = model.latent;
  return base;
}

// The cost of a row is proportional to the weights of its networks. A probe needs only the forward pass, a third of it.
double gradient_seconds(const Context& c, const Point& p, Estimator e) {
  const VaeConfig model = p.stage == "checkpoint" ? read_checkpoint_info(c.options.checkpoint).model
                                                  : model_for(*c.train, p.layers, c.width(), p.latent, p.kind);
  const double size = weights_of(model) / weights_of(model_for(*c.train, 1, c.width(), 20)),
               probes = uses_probes(e)
                            ? static_cast<double>(probes_of_example(traits(e).probes, p.samples, p.latent)) / 3
                            : 0;
  return c.gradient_seconds +
         c.row_seconds * size * static_cast<double>(p.batch) * (1.0 + static_cast<double>(p.samples) + probes);
}

VaeConfig model_for(const Dataset& data, Index layers, Index width, Index latent, LatentKind kind) {
  VaeConfig model;
  model.latent_kind = kind;
  model.data_dim = data.cols();
  model.image_height = data.image_height(), model.image_width = data.image_width();
  model.latent = latent;
  model.encoder_hidden.assign(static_cast<std::size_t>(layers), width);
  model.decoder_hidden = model.encoder_hidden;
  return model;
}

Feed::Feed(Backend& backend, const Dataset& data, Index batch, Binarize binarize, std::uint64_t seed)
    : backend_(backend),
      rows_(data.rows()),
      cols_(data.cols()),
      batch_(batch),
      binarize_(binarize),
      type_(data.dtype()),
      seed_(seed) {
  if (batch > rows_)
    throw Error(data.name() + ": has " + std::to_string(rows_) + " examples, fewer than a batch of " +
                std::to_string(batch));
  data_ = backend.allocate(static_cast<std::size_t>(rows_ * cols_) * size_of(type_));
  backend.upload(data_.data(), data.data(), data_.bytes());
  order_ = backend.allocate(static_cast<std::size_t>(rows_) * sizeof(std::uint32_t));
  x_ = backend.allocate(static_cast<std::size_t>(batch * cols_) * size_of(backend.activation_type()));
  device_step_ = backend.allocate(sizeof step_);
}

// A new shuffle for each epoch and seed.
ConstView Feed::next() {
  const Index steps = rows_ / batch_;
  if (step_ % static_cast<std::uint32_t>(steps) == 0) {
    std::vector<std::uint32_t> order(static_cast<std::size_t>(rows_));
    std::iota(order.begin(), order.end(), 0u);
    std::uint64_t state = seed_ * 0x9e3779b97f4a7c15u + step_ + 1;
    for (std::size_t i = order.size() - 1; i > 0; --i) {  // the shuffle of Fisher and Yates, with numbers from xorshift
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      std::swap(order[i], order[state % (i + 1)]);
    }
    backend_.upload(order_.data(), order.data(), order_.bytes());
  }
  backend_.upload(device_step_.data(), &step_, sizeof step_);
  const View x = x_.view(batch_, cols_, backend_.activation_type());
  const auto* step = device_step_.as<std::uint32_t>();
  backend_.run(GatherBatch{{data_.data(), rows_, cols_, type_},
                           {order_.as<std::uint32_t>(), rows_, step},
                           binarize_,
                           {seed_, Stream::binarize, step},
                           x});
  ++step_;
  return x;
}

// A line through the times of a small and a large batch. Each time is the shortest of a few.
void measure_speed(Context& c) {
  const auto seconds = [&](Index batch) {
    TrainConfig config;
    config.batch = batch, config.binarize = Binarize::none;
    Trainer trainer(c.backend, model_for(*c.train, 1, c.width(), 20), config, c.train->rows());
    const Buffer x =
        c.backend.allocate(static_cast<std::size_t>(batch * c.train->cols()) * size_of(c.backend.activation_type()));
    double best = 1e30;
    for (int i = 0; i < 40; ++i) {
      const double begin = now();
      trainer.gradient(x.view(batch, c.train->cols(), c.backend.activation_type()));
      c.backend.synchronize();
      if (i > 0) best = std::min(best, now() - begin);
    }
    return best;
  };
  const Index few = 16, many = std::max<Index>(2 * few, std::min<Index>(512, c.train->rows()));
  const double fast = seconds(few), slow = seconds(many);
  c.row_seconds = std::max(0.0, slow - fast) / static_cast<double>(2 * (many - few));
  c.gradient_seconds = std::max(0.0, fast - c.row_seconds * static_cast<double>(2 * few));
}

void Models::train(const Point& point, const std::filesystem::path& path) {
  Context& c = context_;
  TrainConfig config;
  config.seed = c.seed(3);
  config.estimator = point.base(), config.samples = training_samples(point);
  config.binarize = Binarize::none;  // the feed binarizes
  Trainer trainer(c.backend, model_for(*c.train, point.layers, c.width(), point.latent, point.kind), config,
                  c.train->rows());
  Feed feed(c.backend, *c.train, config.batch, Binarize::stochastic, config.seed);
  const Index steps = steps_of(c, point.stage);
  std::printf("training %s for %d steps\n", path.filename().c_str(), static_cast<int>(steps));
  for (Index i = 0; i < steps; ++i) trainer.step(feed.next());
  std::error_code failed;
  std::filesystem::create_directories(path.parent_path(), failed);
  if (failed) throw Error(path.parent_path().string() + ": cannot make the folder: " + failed.message());
  trainer.save(path);
}

std::filesystem::path Models::path_of(const Point& point) const {
  if (point.stage == "checkpoint") return context_.options.checkpoint;
  return context_.folder / "models" /
         (point.stage + "-" + std::to_string(point.layers) + "x" + std::to_string(context_.width()) + "-" +
          std::to_string(point.latent) + (point.kind == LatentKind::bernoulli ? "-units" : "") + ".safetensors");
}

double Models::training_seconds(const Point& point) const {
  std::error_code unknown;
  const std::filesystem::path path = path_of(point);
  if (std::filesystem::exists(path, unknown) || !context_.counted.insert(path.string()).second) return 0;
  Point step = point;
  step.batch = TrainConfig{}.batch, step.samples = training_samples(point);
  // Adds the optimizer's pass over the parameters.
  return 1.2 * static_cast<double>(steps_of(context_, point.stage)) * gradient_seconds(context_, step, point.base());
}

const Model& Models::at(const Point& point) {
  const std::filesystem::path path = path_of(point);
  if (path == path_) return model_;
  std::error_code unknown;
  if (point.stage != "checkpoint" && !std::filesystem::exists(path, unknown)) train(point, path);
  const Vae vae = load_vae(context_.backend, path);
  check_data_fits(*context_.train, vae.config(), context_.binarize);
  model_.config = vae.config();
  model_.params.resize(static_cast<std::size_t>(vae.layout().size()));
  context_.backend.download(model_.params.data(), vae.params(), model_.params.size() * sizeof(float));
  path_ = path;
  return model_;
}

std::unique_ptr<Trainer> Models::trainer(const Point& point, const Variant& variant, std::uint64_t seed) {
  const Model& model = at(point);
  TrainConfig config;
  config.seed = seed;
  config.batch = point.batch, config.samples = point.samples;
  choose(config, variant);
  config.binarize = Binarize::none;
  auto trainer = std::make_unique<Trainer>(context_.backend, model.config, config, context_.train->rows());
  context_.backend.upload(trainer->vae().params(), model.params.data(), model.params.size() * sizeof(float));
  trainer->vae().refresh_weights();
  return trainer;
}

void Models::fit_baseline(Trainer& trainer) {
  if (!has_network(trainer.config().estimator)) return;
  Feed feed(context_.backend, *context_.train, trainer.config().batch, context_.binarize, context_.seed(11));
  for (Index i = 0; i < fit_steps(trainer.config().batch); ++i) {
    trainer.set_step(0x40000000u + static_cast<std::uint32_t>(i));  // noise that no measured gradient uses
    trainer.fit_baseline(feed.next());
  }
}

double Models::fit_seconds(const Point& point, Estimator e) const {
  return has_network(e) ? 1.3 * static_cast<double>(fit_steps(point.batch)) * gradient_seconds(context_, point, e)
                        : 0.0;
}

// Rows of the training data, the same in every run, binarized once.
ConstView Models::batch(Index rows) {
  const DType type = context_.backend.activation_type();
  if (x_ && rows == x_rows_) return x_.view(rows, context_.train->cols(), type);
  Feed feed(context_.backend, *context_.train, rows, context_.binarize, context_.seed(4));
  const ConstView x = feed.next();
  x_ = context_.backend.allocate(static_cast<std::size_t>(x.size()) * size_of(x.dtype));
  std::vector<char> host(x_.bytes());
  context_.backend.download(host.data(), x.data, host.size());
  context_.backend.upload(x_.data(), host.data(), host.size());
  x_rows_ = rows;
  return x_.view(rows, x.cols, type);
}

}  // namespace cuvae::bench
