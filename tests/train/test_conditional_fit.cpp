// Runs of conditional models: the same bytes again and after a stop, and each example has its own conditions, in
// training, validation and evaluation.
#include <algorithm>
#include <cmath>

#include "cuvae/bound.h"
#include "cuvae/exact.h"
#include "error_text.h"
#include "op_test.h"
#include "random_model.h"
#include "shuffled_rows.h"
#include "stopped_run.h"

namespace cuvae {
namespace {
using namespace test;

class ConditionalFit : public OpTest {
 protected:
  Dataset labelled(const std::vector<std::uint8_t>& labels = small_labels()) const {
    return small_data().with_labels(labels, 3);
  }
};
CUVAE_ON_EVERY_BACKEND(ConditionalFit);

TEST_P(ConditionalFit, RepeatsAndAStoppedRunEndsTheSame) {
  TrainConfig config = thorough_training();
  config.kl_warmup_epochs = 0, config.beta = 1, config.free_bits = 0;
  config.objective = Objective::rws, config.sleep_share = 0.5f;
  const Dataset data = labelled();
  const std::string whole = trained(backend_, small_model(data), config, never, data);
  EXPECT_TRUE(whole == trained(backend_, small_model(data), config, never, data));
  EXPECT_TRUE(whole == trained(
                           backend_, small_model(data), config, [](auto step) { return step == 8; }, data));
}

// fit() is the same as steps on the batches that a caller makes, with each row's own conditions.
TEST_P(ConditionalFit, ABatchHasTheConditionsOfItsRows) {
  TrainConfig config = small_training();
  config.binarize = Binarize::none;
  const Dataset data = labelled();
  Trainer fitted(backend_, small_model(data), config, data), stepped(backend_, small_model(data), config, data);
  fitted.fit(data);
  for (std::uint32_t epoch = 0; epoch < config.epochs; ++epoch) {
    Rows order = SplitRows(config, 0).train;
    shuffle(order, {config.seed, Stream::shuffle, epoch});
    for (Index b = 0; b < stepped.steps_per_epoch(); ++b) {
      std::vector<float> x, c;
      for (Index i = 0; i < config.batch; ++i) {
        const auto row = order[static_cast<std::size_t>(b * config.batch + i)];
        const std::vector<float> pixels = data.row(row);
        x.insert(x.end(), pixels.begin(), pixels.end());
        for (int j = 0; j < 3; ++j) c.push_back(small_labels()[row] == j ? 1 : 0);
      }
      stepped.step(Matrix(backend_, config.batch, 12, x), Matrix(backend_, config.batch, 3, c));
    }
  }
  expect_same_bits(parameters(fitted.vae()), parameters(stepped.vae()), "parameters");
}

// The ELBO and the bound of each row depend on its own conditions alone, at its place in the batch.
TEST_P(ConditionalFit, EvaluationHasTheConditionsOfItsRows) {
  const Dataset data = labelled();
  std::vector<std::uint8_t> labels = small_labels();
  labels[7] = 0;  // was 1
  const Dataset changed = labelled(labels);
  const Vae vae = random_model(backend_, small_model(data));
  const std::vector<std::uint32_t> rows{3, 7, 11, 40};
  const EvaluateOptions options{.samples = 2, .batch = 3, .binarize = Binarize::none};
  const Evaluation a = evaluate(vae, data, rows, options), b = evaluate(vae, changed, rows, options);
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(a.elbos[i] == b.elbos[i], rows[i] != 7) << i;
  EvaluateOptions at_once = options;  // a batch of all rows: products of other sizes
  at_once.batch = 4;
  expect_close(a.elbos, evaluate(vae, data, rows, at_once).elbos, 1e-4, 0, "ELBO in one batch");
  for (const Bound kind : {Bound::iwae, Bound::prior}) {
    const BoundOptions of_bound{kind, 60, 3, Binarize::none};
    const auto c = evaluate_bound(vae, data, rows, of_bound), d = evaluate_bound(vae, changed, rows, of_bound);
    for (std::size_t i = 0; i < rows.size(); ++i)
      EXPECT_EQ(c.of_examples[i].value == d.of_examples[i].value, rows[i] != 7) << to_string(kind) << ", " << i;
  }
}

// Held-out rows are evaluated under their own conditions: as by evaluate() of these rows, up to rounding.
TEST_P(ConditionalFit, ValidationHasTheConditionsOfItsRows) {
  TrainConfig config = small_training();
  config.validation = 0.25, config.epochs = 1, config.binarize = Binarize::none;
  const Dataset data = labelled();
  for (const std::size_t bytes : {0, 1}) {  // resident and streamed
    double last = 0;
    FitOptions options;
    options.on_progress = [&](const Progress& p) { last = p.validation ? p.validation->elbo : last; };
    options.data_memory = bytes;
    Trainer trainer(backend_, small_model(data), config, data);
    trainer.fit(data, options);
    const Rows held_out = SplitRows(config, 10).held_out;
    const EvaluateOptions of_fit{1, 10, config.binarize, config.seed};  // in one batch
    EXPECT_NEAR(last, evaluate(trainer.vae(), data, held_out, of_fit).elbo, 1e-4);
    std::vector<std::uint8_t> labels = small_labels();
    std::rotate(labels.begin(), labels.begin() + 1, labels.end());
    EXPECT_GT(std::fabs(last - evaluate(trainer.vae(), labelled(labels), held_out, of_fit).elbo), 1e-3);
  }
}

TEST_P(ConditionalFit, OtherConditionsAreOtherData) {
  const TempDir folder;
  const Dataset data = labelled();
  TrainConfig config = small_training();
  Trainer(backend_, small_model(data), config, data).fit(data, {folder.path(), {}});
  Trainer again = Trainer::resume(backend_, folder / "last.safetensors");
  EXPECT_NO_THROW(again.check(data));
  std::vector<std::uint8_t> labels = small_labels();
  std::swap(labels[0], labels[1]);
  expect_error([&] { again.check(labelled(labels)); }, "is not the data that this run was trained on");
}

TEST_P(ConditionalFit, DataWithoutTheModelsConditionsAreRefused) {
  const Dataset plain = small_data(), data = labelled(),
                columns =
                    plain.with_conditions(Dataset::from_memory(std::vector<float>(kSmallRows * 2), kSmallRows, 2));
  const Vae conditional(backend_, small_model(data), 1), unconditional(backend_, small_model(), 1);
  expect_error([&] { evaluate(conditional, plain); },
               "memory: the conditions of the data are none but those of the model are labels of 3 classes");
  expect_error([&] { evaluate(unconditional, columns); },
               "memory: the conditions of the data are 2 columns but those of the model are none");
  expect_error([&] { evaluate(conditional, columns); }, "are 2 columns but those of the model are labels of 3 classes");
  expect_error([&] { evaluate(conditional, plain.with_labels(small_labels(), 4)); }, "are labels of 4 classes but");
  VaeConfig belief = small_model(data);
  belief.latent_kind = LatentKind::bernoulli;
  expect_error([&] { evaluate_exact(Vae(backend_, belief, 1), data); },
               "evaluate: exact sums need a model without conditions but those of the model are labels");
  Trainer trainer(backend_, small_model(data), small_training(), data);
  expect_error([&] { trainer.fit(plain); }, "the conditions of the data are none");
}

}  // namespace
}  // namespace cuvae
