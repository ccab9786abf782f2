// The library's calls of cuBLASLt, made to the fake cuBLASLt, for every choice that the documentation leaves open.
#include <cuda_runtime_api.h>

#include <cstdlib>
#include <limits>

#include "error_text.h"
#include "fake_cublaslt.h"
#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;

class CublasLt : public OpTest {
 protected:
  ~CublasLt() override { fake_cublaslt::behaviour() = {}; }

  // Small whole numbers: every order of summation and both roundings to bf16 give the same bits.
  Matrix whole(Index rows, Index cols, int factor, DType type) const {
    std::vector<float> values;
    for (int i = 0; i < rows * cols; ++i) values.push_back(static_cast<float>(i * factor % 5 - 2));
    return Matrix(backend_, rows, cols, values, type);
  }
  // The forward and the backward pass of a layer. It has too many rows for the one-kernel backward pass.
  std::vector<std::vector<float>> layer(Backend& backend) const {
    constexpr Index kRows = 1030, kInputs = 6, kOutputs = 4;
    const Matrix x = whole(kRows, kInputs, 3, type_), w = whole(kOutputs, kInputs, 7, type_),
                 b = whole(1, kOutputs, 2, type_), dy = whole(kRows, kOutputs, 4, type_);
    const Matrix y(backend, kRows, kOutputs, type_), dw(backend, kOutputs, kInputs), db(backend, 1, kOutputs),
        dx(backend, kRows, kInputs, type_);
    std::vector<std::vector<float>> results;
    for (const Activation act : {Activation::identity, Activation::relu}) {
      backend.run(Linear{x, w, b, act, {}, y});
      results.push_back(y.get());
    }
    backend.run(LinearBackward{x, w, dy, Activation::relu, {}, dw, db, dx});
    for (const auto& m : {dw.get(), db.get(), dx.get()}) results.push_back(m);
    const Matrix first_columns(backend, kRows, kInputs - 2, type_);
    backend.run(LinearBackward{x, w, dy, Activation::identity, {}, dw, db, first_columns});
    results.push_back(first_columns.get());
    return results;
  }
  void expect_the_same_layer(const std::vector<std::vector<float>>& want) {
    const auto backend = make_test_backend(GetParam());
    const auto got = layer(*backend);
    for (std::size_t i = 0; i < got.size(); ++i) expect_same_bits(got[i], want[i], "result " + std::to_string(i));
  }
};
CUVAE_IN_EVERY_PRECISION(CublasLt);

TEST_P(CublasLt, KernelsStandInForEveryEpilogueThatIsRefused) {
  const auto want = layer(backend_);
  using fake_cublaslt::behaviour;
  behaviour().heuristic = CUBLAS_STATUS_NOT_SUPPORTED;
  expect_the_same_layer(want);
  behaviour() = {.finds_none = true};
  expect_the_same_layer(want);
  behaviour() = {.product = CUBLAS_STATUS_NOT_SUPPORTED};
  expect_the_same_layer(want);
  EXPECT_NE(make_test_backend(GetParam())->description().find(", bias by a kernel"), std::string::npos);
  behaviour() = {.relu_keeps_nan = true};
  expect_the_same_layer(want);
  EXPECT_EQ(make_test_backend(GetParam())->description().find("by a kernel"), std::string::npos);
}

TEST_P(CublasLt, OtherErrorsAreErrors) {
  fake_cublaslt::behaviour().heuristic = CUBLAS_STATUS_INVALID_VALUE;
  expect_error([&] { make_test_backend(GetParam()); }, "cublasLtMatmulAlgoGetHeuristic: invalid value");
  fake_cublaslt::behaviour() = {.product = CUBLAS_STATUS_INVALID_VALUE};
  expect_error([&] { make_test_backend(GetParam()); }, "cublasLtMatmul: invalid value");
  fake_cublaslt::behaviour() = {.product = CUBLAS_STATUS_EXECUTION_FAILED};
  expect_error([&] { make_test_backend(GetParam()); }, "cublasLtMatmul: another error");
}

// The check of the loss must find a value that is not finite, both if cuBLASLt's ReLU keeps NaN and if it returns 0.
TEST_P(CublasLt, ReluKeepsNan) {
  for (const bool keeps : {false, true}) {
    fake_cublaslt::behaviour().relu_keeps_nan = keeps;
    const auto backend = make_test_backend(GetParam());
    EXPECT_EQ(backend->description().find("ReLU by a kernel") == std::string::npos, keeps);
    const Matrix x(*backend, 3, 2, {1, 2, std::numeric_limits<float>::quiet_NaN(), 1, -1, 0}, type_),
        w(*backend, 4, 2, std::vector<float>(8, 1.0f), type_), b(*backend, 1, 4, type_), y(*backend, 3, 4, type_);
    b.set({0, 0, 0, 0});
    backend->run(Linear{x, w, b, Activation::relu, {}, y});
    const auto got = y.get();
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(got[i], 3.0f);
      EXPECT_TRUE(std::isnan(got[4 + i])) << got[4 + i];
      EXPECT_EQ(got[8 + i], 0.0f);
    }
  }
}

// If the sum is split, it is 257 - 256 = 1. If 257 were rounded to bf16, the result would be 0.
TEST_P(CublasLt, SumsOverKAreFloat32) {
  const Matrix x(backend_, 1, 4, {256, 1, -256, 0}, type_), w(backend_, 1, 4, {1, 1, 1, 1}, type_),
      b(backend_, 1, 1, {0}, type_), y(backend_, 1, 1, type_);
  for (const Activation act : {Activation::identity, Activation::tanh}) {
    backend_.run(Linear{x, w, b, act, {}, y});
    EXPECT_NEAR(y.get().front(), act == Activation::tanh ? std::tanh(1.0) : 1.0, 1e-6 + rounding_);
  }
}

// The backend tries a plan before it uses it. A recording must not contain the trial.
TEST_P(CublasLt, ARecordedReluIsOneLaunch) {
  fake_cublaslt::behaviour().relu_keeps_nan = true;
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  {
    const auto backend = make_cuda_backend(0, stream, type_ == DType::bf16 ? Precision::bf16 : Precision::fp32);
    const Matrix x(*backend, 4, 4, std::vector<float>(16, 1.0f), type_), y(*backend, 4, 4, type_);
    const auto work = [&] { backend->run(Linear{x, x, ConstView{x.data(), 1, 4, type_}, Activation::relu, {}, y}); };
    work();
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    work();
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    std::size_t launches = 0;
    EXPECT_EQ(cudaGraphGetNodes(graph, nullptr, &launches), cudaSuccess);
    EXPECT_EQ(launches, 1u);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  }
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST_P(CublasLt, WhatTheEnvironmentOverridesIsSaid) {
  EXPECT_EQ(backend_.description().find("OVERRIDE"), std::string::npos) << backend_.description();
  ASSERT_EQ(setenv("NVIDIA_TF32_OVERRIDE", "1", 1), 0);
  EXPECT_NE(backend_.description().find("products changed by NVIDIA_TF32_OVERRIDE=1"), std::string::npos)
      << backend_.description();
  unsetenv("NVIDIA_TF32_OVERRIDE");
}

}  // namespace
}  // namespace cuvae
