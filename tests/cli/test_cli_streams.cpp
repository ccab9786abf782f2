// The program in a pipeline, and with every data format.
#include "base64.h"
#include "cli_test.h"

namespace cuvae::test {
namespace {

using CliStreams = CliTest;

ProgramOptions with_input(const std::string& path) {
  ProgramOptions options;
  options.standard_input = path;
  return options;
}

// A pseudo terminal: the program believes that it runs in a terminal.
class Terminal {
 public:
  Terminal() : master_(::posix_openpt(O_RDWR | O_NOCTTY)) {
    if (master_ < 0 || ::grantpt(master_) != 0 || ::unlockpt(master_) != 0) throw std::runtime_error("no terminal");
    path_ = ::ptsname(master_);
  }
  ~Terminal() { ::close(master_); }
  const std::string& path() const { return path_; }

 private:
  int master_;
  std::string path_;
};

TEST_F(CliStreams, StandardInputTrainsTheSameModel) {
  const std::string file = data() + "/train-images-idx3-ubyte", piped = path("piped");
  succeed(train_arguments("piped", {"--data", "-"}), with_input(file));
  EXPECT_EQ(read_bytes(piped + "/last.safetensors"), read_bytes(train("file", {"--data", file}) + "/last.safetensors"));
  const Arguments eval = {"eval", piped, "--json", "--data"};
  EXPECT_EQ(succeed(eval + Arguments{"-"}, with_input(file)), succeed(eval + Arguments{file}));
}

TEST_F(CliStreams, ArraysGoThroughPipes) {
  const std::string model = train("run");
  write(path("z.csv"), "x,y\n0.5,-1\n2,0.25\n");
  succeed({"decode", model, "--in", path("z.csv"), "--out", path("d.npy")});
  const std::string decoded = read_bytes(path("d.npy"));
  EXPECT_EQ(succeed({"decode", model, "--in", "-", "--out", "-"}, with_input(path("z.csv"))), decoded);
  // numpy.array([[0.5, -1], [2, 0.25]])
  write(path("z.npy"), npy(1, npy_dict("<f8", "(2, 2)"),
                           from_hex("000000000000e03f000000000000f0bf0000000000000040000000000000d03f")));
  EXPECT_EQ(succeed({"decode", model, "--in", path("z.npy"), "--out", "-"}), decoded);

  const std::string encoded = succeed({"encode", model, "--data", data(), "--out", "-"});
  succeed({"encode", model, "--data", data(), "--out", path("e.npy")});
  EXPECT_EQ(encoded, read_bytes(path("e.npy")));
  const std::string sampled = succeed({"sample", model, "--count", "3", "--out", "-"});
  succeed({"sample", model, "--count", "3", "--out", path("s.npy")});
  EXPECT_EQ(sampled, read_bytes(path("s.npy")));
}

TEST_F(CliStreams, TerminalsAreRefused) {
  const std::string model = train("run");
  const Terminal terminal;
  expect_failure(run({"eval", model, "--data", "-"}, with_input(terminal.path())), 1,
                 "standard input: cannot read: it is a terminal");
  ProgramOptions output;
  output.standard_output = terminal.path();
  expect_failure(run({"sample", model, "--out", "-"}, output), 1, "standard output: is a terminal");
  expect_failure(run({"eval", model, "--data", "-"}, with_input("/dev/null")), 1,
                 "standard input: the file is empty (0 bytes)");
}

TEST_F(CliStreams, ARunOfPipedDataSaysHowToGoOn) {
  const std::string file = data() + "/train-images-idx3-ubyte", piped = path("piped");
  succeed(train_arguments("piped", {"--data", "-"}), with_input(file));
  const Terminal terminal;
  const Arguments resume = {"resume", piped, "--epochs", "3", "--quiet"};
  const std::string remedy = "; the run was trained on piped data: pipe them again, or give --data PATH";
  expect_failure(run(resume, with_input(terminal.path())), 1, "it is a terminal: pipe a file into it" + remedy);
  expect_failure(run(resume, with_input("/dev/null")), 1, "the file is empty (0 bytes)" + remedy);
  succeed(resume, with_input(file));
  succeed({"resume", piped, "--epochs", "4", "--quiet", "--data", file});
}

TEST_F(CliStreams, TablesTrain) {
  std::string table = "income,age\n";
  for (int i = 0; i < 60; ++i)
    table += std::to_string(i) + "." + std::to_string(i % 10) + "," + std::to_string(i % 9) + "\n";
  write(path("t.csv"), table);
  write(path("t.csv.gz"), gzip(table));
  const Arguments more = {"--likelihood", "gaussian", "--batch", "30", "--data"};
  const std::string plain = train("plain", more + Arguments{path("t.csv")});
  const std::string zipped = train("zipped", more + Arguments{path("t.csv.gz")});
  EXPECT_EQ(read_bytes(plain + "/last.safetensors"), read_bytes(zipped + "/last.safetensors"));
  expect_failure(run({"decode", plain, "--in", write(path("bad.csv"), "1,2,3\n"), "--out", path("d.npy")}), 1,
                 "rows have 3 values but the model needs 2 or 4");
}

}  // namespace
}  // namespace cuvae::test
