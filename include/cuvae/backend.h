// The seam: a device that computes the ops of cuvae/ops.h. Model code above it is written once.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "cuvae/error.h"
#include "cuvae/ops.h"

namespace cuvae {

class Backend;

/// Memory of a backend, freed with it. Outlives nothing: the backend must be destroyed last.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  /// Its beginning as a matrix; throws Error naming both sizes where that does not fit.
  View view(Index rows, Index cols, DType type = DType::f32) const {
    const Index room = static_cast<Index>(bytes_ / size_of(type));
    if (rows < 0 || cols < 0 || (cols > 0 && rows > room / cols)) refuse(rows, cols, type);
    return {data_, rows, cols, type};
  }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  friend class Backend;
  [[noreturn]] void refuse(Index rows, Index cols, DType type) const;
  Backend* backend_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// What a backend recorded of some work: see Backend::replay. Like a Buffer, it goes before its backend.
class Recording {
 public:
  struct Content {
    virtual ~Content() = default;
  };

 private:
  friend class Backend;
  std::unique_ptr<Content> content_;
};

/// Two halves of a backend's memory that the host fills in turn: while ops read one, the other is on its way.
class DoubleBuffer {
 public:
  virtual ~DoubleBuffer() = default;
  virtual const void* device() const = 0;  ///< both halves, one behind the other
  virtual void* host(int half) = 0;        ///< where the host writes a half's next content; waits for its last sending
  virtual void send(int half) = 0;         ///< takes it to the device, once the ops asked for so far are done
  virtual void use(int half) = 0;          ///< ops asked for from now on find there what was sent last
};

/// A device: its memory, and the ops that it runs. Ops may be asynchronous; synchronize() waits.
class Backend : protected WithAllOps<RunsAll> {
 public:
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  /// "cpu", "cuda:0".
  virtual std::string name() const = 0;
  /// The processor in words, for logs and benchmark records.
  virtual std::string description() const = 0;
  /// The type of activations: f32, or bf16 where the backend was made with Precision::bf16.
  virtual DType activation_type() const { return DType::f32; }
  /// Whether ops may be given pointers to the host's memory.
  virtual bool reads_host_memory() const = 0;

  Buffer allocate(std::size_t bytes);  ///< zeroed; throws Error when there is not enough memory
  void upload(void* device, const void* host, std::size_t bytes);
  void download(void* host, const void* device, std::size_t bytes);
  void zero(void* device, std::size_t bytes);
  void synchronize();

  /// Bytes that could be allocated now; on the CPU, without limit.
  virtual std::size_t available_memory() const = 0;
  std::unique_ptr<DoubleBuffer> make_double_buffer(std::size_t bytes_of_a_half);

  /// Runs `work` `times` times. Its ops must be the same with the same pointers and shapes in every call with one
  /// recording, and it must not allocate, upload, download or wait: a backend that records() runs it once, records it,
  /// and from then on replays what it recorded in place of calling it.
  void replay(Recording& recording, const std::function<void()>& work, Index times = 1) {
    do_replay(recording.content_, work, times);
  }
  /// Whether replay() only queues work, so that it may be given much at once.
  virtual bool records() const { return false; }

  /// Checks the op, throws Error where it does not fit, and computes it: backend.run(Linear{.x = x, ...}).
  template <class Op>
  void run(const Op& op) {
    op.check(*this);
    do_run(op);
  }

 protected:
  Backend() = default;

 private:
  friend class Buffer;
  virtual void* do_allocate(std::size_t bytes) = 0;
  virtual void do_free(void* p) noexcept = 0;
  virtual void do_upload(void* device, const void* host, std::size_t bytes) = 0;
  virtual void do_download(void* host, const void* device, std::size_t bytes) = 0;
  virtual void do_zero(void* device, std::size_t bytes) = 0;
  virtual void do_synchronize() = 0;
  virtual std::unique_ptr<DoubleBuffer> do_make_double_buffer(std::size_t bytes_of_a_half) = 0;
  virtual void do_replay(std::unique_ptr<Recording::Content>& /*content*/, const std::function<void()>& work,
                         Index times) {
    for (Index i = 0; i < times; ++i) work();
  }
};

/// "cpu", "cuda", "cuda:1", or "auto": the first CUDA device if this build can use it, else the CPU. `threads` are the
/// CPU's, 0 takes OpenMP's number. Throws Error for a device that is not there.
std::unique_ptr<Backend> make_backend(const std::string& device = "auto", int threads = 0,
                                      Precision precision = Precision::fp32);

/// A CUDA backend that works on the caller's stream: a cudaStream_t of device `ordinal` (a void* here, so that this
/// header needs no CUDA), which must outlive it; null makes one of its own. Ops then take device pointers of the
/// caller's as they are, in the order of that stream. Throws Error in a build without CUDA.
std::unique_ptr<Backend> make_cuda_backend(int ordinal, void* stream, Precision precision = Precision::fp32);

}  // namespace cuvae
