// Run folders: which files belong to the run, with unusual names, links, descriptors and pipes.
#include <map>

#include "cli_test.h"

namespace cuvae::test {
namespace {

namespace fs = std::filesystem;

class RunFolderTest : public CliTest {
 protected:
  // Like `cuvae arguments` in a shell, with redirections.
  static ProgramResult shell(const Arguments& arguments, const std::string& redirections) {
    return run_program(Arguments{"/bin/sh", "-c", "exec \"$0\" \"$@\" " + redirections} + cuvae(arguments));
  }
  // The files of a run folder with their bytes.
  static std::map<std::string, std::string> contents(const fs::path& folder) {
    std::map<std::string, std::string> all;
    for (const auto& entry : fs::directory_iterator(folder)) all[entry.path().filename()] = read_bytes(entry.path());
    return all;
  }
  std::size_t lines_of_metrics(const std::string& run) const { return json_lines(path(run) + "/metrics.jsonl").size(); }
};

TEST_F(RunFolderTest, AFolderOfAnotherProgramIsNoRun) {
  fs::create_directory(path("model"));
  for (const char* text : {R"({"model_type": "bert", "data": 1, "latent": 2})", "not JSON", "[]", ""}) {
    write(path("model/config.json"), text);
    write(path("model/model.bin"), "weights");
    for (const Arguments& more : {Arguments{}, Arguments{"--overwrite"}})
      expect_failure(run(train_arguments("model", more)), 1, "is not empty and not a run: choose another folder");
    EXPECT_EQ(read_bytes(path("model/config.json")), text);
    EXPECT_EQ(read_bytes(path("model/model.bin")), "weights");
  }
}

TEST_F(RunFolderTest, OverwritingRemovesOnlyWhatTheProgramWrote) {
  const std::string old = train("run", {"--validation", "0.25"});
  const std::string config = read_bytes(old + "/config.json");
  write(old + "/notes.txt", "mine");
  write(old + "/.cuvae.7.0.tmp", "half");
  fs::create_directory(old + "/figures");
  succeed(train_arguments("run", {"--overwrite", "--latent", "3"}));
  EXPECT_EQ(names_in(old), (std::set<std::string>{"config.json", "metrics.jsonl", "last.safetensors", "samples.png",
                                                  "reconstructions.png", "notes.txt", "figures"}));
  EXPECT_EQ(read_bytes(old + "/notes.txt"), "mine");
  EXPECT_NE(read_bytes(old + "/config.json"), config);
  train("fresh", {"--latent", "3"});
  EXPECT_TRUE(read_bytes(old + "/last.safetensors") == read_bytes(path("fresh/last.safetensors")));
}

TEST_F(RunFolderTest, ARunThatCannotStartLeavesTheOldOne) {
  train("run", {"--validation", "0.25"});
  const auto before = contents(path("run"));
  write(path("bright.npy"),
        npy(1, npy_dict("<f4", "(60, 2)"), float_bytes(std::vector<float>(120, 7.0F), std::endian::little)));
  const auto expect_kept = [&](const Arguments& more, const ProgramOptions& options = {}) {
    EXPECT_NE(run(train_arguments("run", Arguments{"--overwrite"} + more), options).code, 0);
    EXPECT_EQ(contents(path("run")), before) << more.back();
  };
  expect_kept({"--data", path("nowhere")});
  expect_kept({"--data", path("bright.npy")});
  expect_kept({"--batch", "201"});
  expect_kept({"--device", "tpu"});
  expect_kept({"--hidden", "16"}, {{}, rlim_t{500}, {}});
  expect_kept({"--hidden", "16"}, {{}, rlim_t{2000}, {}});
}

// A killed process leaves the replacement without its checkpoint, or with it.
TEST_F(RunFolderTest, AKilledReplacementIsUndoneOrPutInPlace) {
  train("old", {"--validation", "0.25"});
  train("new", {"--latent", "3"});
  const auto left = [&](const std::set<std::string>& made, const std::set<std::string>& gone) {
    fs::remove_all(path("run"));
    fs::copy(path("old"), path("run"));
    fs::create_directory(path("run/.new-run"));
    for (const std::string& name : made) fs::copy_file(path("new/" + name), path("run/.new-run/" + name));
    for (const std::string& name : gone) fs::remove(path("run/" + name));
  };
  for (const std::set<std::string>& made : {std::set<std::string>{}, std::set<std::string>{"config.json"}}) {
    left(made, {});
    succeed({"resume", path("run"), "--quiet"});
    EXPECT_EQ(contents(path("run")), contents(path("old")));
  }
  const std::set<std::string> states[] = {{}, {"best.safetensors"}, {"best.safetensors", "metrics.jsonl"}};
  for (const auto& gone : states) {
    left({"config.json", "last.safetensors"}, gone);
    EXPECT_EQ(Json::parse(succeed({"info", path("run"), "--json"}))["model"]["latent"], 3);
    succeed({"resume", path("run"), "--quiet"});
    EXPECT_EQ(names_in(path("run")), (std::set<std::string>{"config.json", "last.safetensors", "metrics.jsonl",
                                                            "samples.png", "reconstructions.png"}));
    EXPECT_TRUE(read_bytes(path("run/last.safetensors")) == read_bytes(path("new/last.safetensors")));
    EXPECT_EQ(read_bytes(path("run/config.json")), read_bytes(path("new/config.json")));
  }
}

TEST_F(RunFolderTest, LinksInARunAreNotFollowed) {
  const std::string good = train("good");
  write(path("victim"), "precious");
  for (const char* name : {"metrics.jsonl", "last.safetensors", "best.safetensors", "config.json", "samples.png"}) {
    fs::remove_all(path("run"));
    fs::copy(good, path("run"));
    fs::remove(path("run/") + name);
    const bool needed = std::string(name) == "last.safetensors" || std::string(name) == "config.json";
    const std::string target = needed ? good + "/" + name : path("victim");
    fs::create_symlink(target, path("run/") + name);
    const auto before = contents(good);
    expect_failure(run({"resume", path("run"), "--epochs", "4", "--quiet"}), 1,
                   path("run/") + name + ": is a symbolic link");
    EXPECT_EQ(read_bytes(path("victim")), "precious");
    EXPECT_EQ(contents(good), before);
    succeed(train_arguments("run", {"--overwrite"}));  // replaces the link by a file
    EXPECT_EQ(read_bytes(path("victim")), "precious");
    EXPECT_EQ(contents(good), before);
    EXPECT_FALSE(fs::is_symlink(path("run/") + name));
  }
  // The user's own outputs, and a link to the folder, are followed.
  write(path("array.npy"), "old");
  fs::create_symlink(path("array.npy"), path("link.npy"));
  succeed({"sample", good, "--out", path("link.npy")});
  EXPECT_TRUE(fs::is_symlink(path("link.npy")));
  fs::create_directory_symlink(good, path("latest"));
  succeed({"resume", path("latest"), "--epochs", "3", "--quiet"});
}

TEST_F(RunFolderTest, ClosedDescriptorsTakeNoFile) {
  train("reference", {"--log-every", "1"});
  Arguments arguments = train_arguments("run", {"--log-every", "1"});
  std::erase(arguments, "--quiet");
  const ProgramResult result = shell(arguments, "<&- >&- 2>&-");
  EXPECT_EQ(result.code, 1);  // the summary could not be printed
  const auto run = contents(path("run")), reference = contents(path("reference"));
  for (const auto& [name, bytes] : reference) EXPECT_TRUE(name == "metrics.jsonl" || run.at(name) == bytes) << name;
  EXPECT_EQ(run.size(), reference.size());
  EXPECT_EQ(lines_of_metrics("run"), lines_of_metrics("reference"));
  EXPECT_EQ(shell(train_arguments("quiet"), "<&- >&- 2>&-").code, 0);
}

TEST_F(RunFolderTest, AClosedPipeCostsNoCheckpoint) {
  train("reference", {"--epochs", "20"});
  Arguments arguments = train_arguments("run", {"--epochs", "20"});
  std::erase(arguments, "--quiet");
  // The reader ends before the first line. No signal ends the training.
  const std::string line = "\"$0\" \"$@\" 2>&1 | :; echo ${PIPESTATUS[0]}";
  EXPECT_EQ(run_program(Arguments{"/bin/bash", "-c", line} + cuvae(arguments)).out, "1\n");
  EXPECT_TRUE(read_bytes(path("run/last.safetensors")) == read_bytes(path("reference/last.safetensors")));
}

TEST_F(RunFolderTest, AnyNameWorks) {
  const std::string model = train("run");
  for (const std::string& name : {std::string(251, 'a') + ".npy", std::string("caf\xe9 \x1b[31m\n.npy"),
                                  std::string("caf\xc3\xa9.npy"), std::string("two words 'quoted'.npy")}) {
    succeed({"sample", model, "--out", path(name)});
    EXPECT_TRUE(fs::exists(path(name))) << name;
    fs::remove(path(name));
  }
  // Paths with any bytes are written to config.json and read again.
  const std::string odd = "caf\xe9 \x1b[31m";
  fs::rename(data(), path(odd + "data"));
  Arguments arguments = train_arguments(odd, {"--data", path(odd + "data")});
  std::erase(arguments, "--quiet");
  const ProgramResult result = run(arguments);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out.find('\x1b'), result.out.npos) << result.out;
  succeed({"resume", path(odd), "--epochs", "3", "--quiet"});
  const std::string file = Json::parse(succeed({"info", path(odd), "--json"}))["file"];
  EXPECT_TRUE(file.starts_with("file:///")) << file;
  EXPECT_EQ(succeed({"info", path(odd)}).find('\x1b'), std::string::npos);
  expect_failure(run({"info", path("\x1b[2J\n\xff")}), 1, "\\x1b[2J\\n\\xff: ");
}

// The commands that a run prints at its end.
TEST_F(RunFolderTest, AdviceCanBePasted) {
  fs::create_directory(path("my data"));
  fs::copy_file(data() + "/train-images-idx3-ubyte", path("my data/train-images-idx3-ubyte"));
  std::vector<float> values(300, 0.5F);
  values[7] = 0.25F;
  write(path("x.npy"), npy(1, npy_dict("<f4", "(100, 3)"), float_bytes(values, std::endian::little)));
  const auto expect_advice = [&](const std::string& run_name, const Arguments& more, const std::string& picture) {
    Arguments arguments = train_arguments(run_name, more);
    std::erase(arguments, "--quiet");
    const std::string out = run(arguments).out;
    const std::size_t at = out.find("next:\n");
    ASSERT_NE(at, out.npos) << out;
    EXPECT_NE(out.find("--out " + picture, at), out.npos) << out;
    const std::string script = "set -e; cd " + path("") + "; cuvae() { \"$0\" \"$@\"; }; " + out.substr(at + 6);
    const ProgramResult result = run_program({"/bin/bash", "-c", script, CUVAE_CLI});
    EXPECT_EQ(result.code, 0) << script << result.err;
    EXPECT_TRUE(fs::exists(path(picture)));
  };
  expect_advice("my run", {}, "samples.png");
  expect_advice("only training", {"--data", path("my data")}, "samples.png");
  expect_advice("no pictures", {"--data", path("x.npy")}, "samples.npy");
}

TEST_F(RunFolderTest, APathWithALeadingDash) {
  const std::string line = "cd '" + path("") + "' && exec \"$0\" \"$@\"";
  Arguments arguments = train_arguments("x", {"--out=-run"});
  arguments.erase(std::find(arguments.begin(), arguments.end(), "--out"),
                  std::find(arguments.begin(), arguments.end(), "--out") + 2);
  std::erase(arguments, "--quiet");
  const ProgramResult result = run_program(Arguments{"/bin/sh", "-c", line} + cuvae(arguments));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("cuvae sample ./-run --out"), result.out.npos) << result.out;
}

}  // namespace
}  // namespace cuvae::test
