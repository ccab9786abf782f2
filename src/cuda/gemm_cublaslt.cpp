// The products by cuBLASLt. A plan is made once for each shape, epilogue and alignment, and kept.
#include <cublasLt.h>

#include <map>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "cuda/error.h"
#include "cuda/gemm.h"

namespace cuvae::cuda {
namespace {

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw Error(std::string("cuda: ") + call + ": " + cublasLtGetStatusString(status) + " (" +
                cublasLtGetStatusName(status) + ")");
}

template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* p) const noexcept {
    (void)destroy(p);
  }
};
template <class Pointer, auto destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<Pointer>, Destroy<destroy>>;
using Handle = Owned<cublasLtHandle_t, cublasLtDestroy>;
using MatmulDesc = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;
using DeviceMemory = std::unique_ptr<void, Destroy<cudaFree>>;

template <class T>
void set(const MatmulDesc& desc, cublasLtMatmulDescAttributes_t attribute, T value) {
  check(cublasLtMatmulDescSetAttribute(desc.get(), attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
}
template <class T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, T value) {
  check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute");
}

cudaDataType_t data_type(DType type) { return type == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

// A row-major matrix [rows, cols] is to cuBLASLt a column-major one of cols x rows. It is packed, or has longer rows.
Layout layout(DType type, Index rows, Index cols, Index stored_cols = 0) {
  cublasLtMatrixLayout_t raw = nullptr;
  check(cublasLtMatrixLayoutCreate(&raw, data_type(type), static_cast<std::uint64_t>(cols),
                                   static_cast<std::uint64_t>(rows), stored_cols > 0 ? stored_cols : cols),
        "cublasLtMatrixLayoutCreate");
  return Layout(raw);
}

// The largest power of two up to 256 that divides an address; parameters in the arena have 64, their bf16 copies 32.
std::uint32_t alignment(const void* p) {
  const auto address = reinterpret_cast<std::uintptr_t>(p) | 256;
  return static_cast<std::uint32_t>(address & (~address + 1));
}

cublasLtEpilogue_t epilogue(Epilogue e) {
  switch (e) {
    case Epilogue::none:
      break;
    case Epilogue::bias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::relu_bias:
      return CUBLASLT_EPILOGUE_RELU_BIAS;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

cublasOperation_t operation(Op op) { return op == Op::none ? CUBLAS_OP_N : CUBLAS_OP_T; }

struct Plan {
  MatmulDesc desc;
  Layout first, second, result;
  cublasLtMatmulAlgo_t algorithm;
  bool found = false;
};

auto key(const Product& p) {
  return std::tuple(p.m, p.n, p.k, p.op_a, p.op_b, p.type, p.c_type, p.epilogue, alignment(p.a), alignment(p.b),
                    alignment(p.c), alignment(p.bias), p.cols_of_b);
}
using Key = decltype(key(Product{}));

}  // namespace

struct Gemm::State {
  Precision precision;
  cudaStream_t stream;
  void* workspace;
  std::size_t workspace_bytes;
  Handle handle;
  std::map<Key, Plan> plans;
  std::set<Epilogue> refused;  // by one plan or more

  Plan make_plan(const Product& p) const {
    Plan plan;
    cublasLtMatmulDesc_t desc = nullptr;
    const auto compute = precision == Precision::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    check(cublasLtMatmulDescCreate(&desc, compute, CUDA_R_32F), "cublasLtMatmulDescCreate");
    plan.desc.reset(desc);
    set(plan.desc, CUBLASLT_MATMUL_DESC_TRANSA, operation(p.op_b));
    set(plan.desc, CUBLASLT_MATMUL_DESC_TRANSB, operation(p.op_a));
    set(plan.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue(p.epilogue));
    if (p.epilogue != Epilogue::none) {
      set(plan.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
      set(plan.desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(p.c_type));
    }
    plan.first = p.op_b == Op::none ? layout(p.type, p.k, p.n, p.cols_of_b) : layout(p.type, p.n, p.k);
    plan.second = p.op_a == Op::none ? layout(p.type, p.m, p.k) : layout(p.type, p.k, p.m);
    plan.result = layout(p.c_type, p.m, p.n);

    cublasLtMatmulPreference_t raw = nullptr;
    check(cublasLtMatmulPreferenceCreate(&raw), "cublasLtMatmulPreferenceCreate");
    const Preference preference(raw);
    set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(p.b));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(p.a));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(p.c));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(p.c));
    // A split sum over k may be combined in the result's type. For a bf16 result only float32 is allowed.
    if (p.c_type == DType::bf16)
      set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
          static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    cublasLtMatmulHeuristicResult_t candidates[8] = {};  // best first; the first that is allowed is taken
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle.get(), desc, plan.first.get(), plan.second.get(), plan.result.get(),
                                       plan.result.get(), raw, 8, candidates, &count);
    // An epilogue may be refused; a kernel then does its work.
    if (p.epilogue == Epilogue::none || status != CUBLAS_STATUS_NOT_SUPPORTED)
      check(status, "cublasLtMatmulAlgoGetHeuristic");
    for (const auto& candidate : std::span(candidates, static_cast<std::size_t>(count)))
      if (!plan.found && candidate.state == CUBLAS_STATUS_SUCCESS) {
        plan.algorithm = candidate.algo;
        plan.found = true;
      }
    if (plan.found && p.epilogue != Epilogue::none) plan.found = does_the_epilogue(plan, p);
    return plan;
  }

  cublasStatus_t start(const Plan& plan, const Product& p) const {
    if (p.epilogue != Epilogue::none) set(plan.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
    // cuBLASLt is column-major, so it sees every matrix of ours transposed: c = op(a) op(b) reads c' = op(b)' op(a)'.
    // The operands swap places and keep their ops, and a bias along the library's rows runs along our columns.
    const float one = 1.0f, beta = p.add ? 1.0f : 0.0f;
    return cublasLtMatmul(handle.get(), plan.desc.get(), &one, p.b, plan.first.get(), p.a, plan.second.get(), &beta,
                          p.c, plan.result.get(), p.c, plan.result.get(), &plan.algorithm, workspace, workspace_bytes,
                          stream);
  }

  // Tried once, because the documentation does not say it: whether the product that the heuristic found works, and
  // whether the ReLU epilogue, "max(x, 0)", keeps NaN, which the loss must show.
  bool does_the_epilogue(const Plan& plan, const Product& p) const {
    Product tried = p;
    DeviceMemory nans;
    const auto bytes = [&](Index size) { return static_cast<std::size_t>(size) * size_of(p.c_type); };
    if (p.epilogue == Epilogue::relu_bias) {
      void* raw = nullptr;
      cuda::check(cudaMalloc(&raw, bytes(p.n)), "cudaMalloc");
      nans.reset(raw);
      cuda::check(cudaMemsetAsync(raw, 0xff, bytes(p.n), stream), "cudaMemsetAsync");
      tried.bias = raw;
    }
    const cublasStatus_t status = start(plan, tried);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return false;
    check(status, "cublasLtMatmul");
    if (nans == nullptr) return true;
    std::vector<std::uint16_t> result(bytes(p.m * p.n) / 2);
    cuda::check(cudaMemcpyAsync(result.data(), p.c, bytes(p.m * p.n), cudaMemcpyDeviceToHost, stream),
                "cudaMemcpyAsync");
    cuda::check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    // The upper half of a float32 is a bf16; a NaN that the library makes has its first fraction bit set.
    const std::size_t step = size_of(p.c_type) / 2;
    for (std::size_t i = step - 1; i < result.size(); i += step)
      if ((result[i] & 0x7fff) <= 0x7f80) return false;
    return true;
  }

  const Plan* find(const Product& p) const {
    const auto found = plans.find(key(p));
    return found == plans.end() ? nullptr : &found->second;
  }
  const Plan& plan(const Product& p) {
    if (const Plan* found = find(p)) return *found;
    const Plan& made = plans.emplace(key(p), make_plan(p)).first->second;
    if (!made.found) refused.insert(p.epilogue);
    return made;
  }
};

Gemm::Gemm(Precision precision, cudaStream_t stream, void* workspace, std::size_t workspace_bytes) {
  cublasLtHandle_t raw = nullptr;
  check(cublasLtCreate(&raw), "cublasLtCreate");
  state_.reset(new State{precision, stream, workspace, workspace_bytes, Handle(raw), {}, {}});
}
Gemm::~Gemm() = default;

bool Gemm::supports(const Product& product) {
  if (product.epilogue != Epilogue::none && state_->find(product) == nullptr) {
    cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;  // a capture allows no trial
    check(cudaStreamIsCapturing(state_->stream, &capture), "cudaStreamIsCapturing");
    if (capture != cudaStreamCaptureStatusNone) return false;
  }
  return state_->plan(product).found;
}

bool Gemm::has_refused(Epilogue epilogue) const { return state_->refused.contains(epilogue); }

void Gemm::run(const Product& p) {
  const Plan& plan = state_->plan(p);
  if (!plan.found)
    throw Error("cuda: cuBLASLt has no algorithm for a product of [" + std::to_string(p.m) + ", " +
                std::to_string(p.k) + "] and [" + std::to_string(p.k) + ", " + std::to_string(p.n) + "]");
  check(state_->start(plan, p), "cublasLtMatmul");
}

}  // namespace cuvae::cuda
