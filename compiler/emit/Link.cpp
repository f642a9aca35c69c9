// The link line, for lld in this process or the system's compiler driver.

#include "compiler/emit/Link.h"
#include "compiler/emit/LinkFiles.h"
#include "compiler/emit/ScratchFile.h"

#include "lld/Common/Driver.h"
#include "llvm/ObjCopy/ConfigManager.h"
#include "llvm/ObjCopy/ObjCopy.h"
#include "llvm/Object/ArchiveWriter.h"
#include "llvm/Object/Binary.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/TargetParser/Triple.h"

#include <optional>

LLD_HAS_DRIVER(elf)

using namespace moec;

/// Flags that every linker understands, in the words of `ld`.
static std::vector<std::string> commonFlags(const LinkOptions &options,
                                            const std::vector<std::string> &exports) {
  std::vector<std::string> flags = {"--gc-sections", "--build-id=none"};
  if (options.artifact != Artifact::StaticLibrary)
    flags.insert(flags.end(), {"--eh-frame-hdr", "-z", "noexecstack", "-z", "relro"});
  if (options.strip && options.artifact != Artifact::StaticLibrary)
    flags.push_back("--strip-all");
  if (options.artifact == Artifact::Executable)
    return flags;
  // Nothing inside a library refers to its interface, which would leave the archives unread.
  for (const std::string &name : exports)
    flags.insert(flags.end(), {"-u", name});
  return flags;
}

/// A version script that exports `names` only.
static std::string versionScript(const std::vector<std::string> &names) {
  std::string script = "{\n  global:\n";
  for (const std::string &name : names)
    script += "    " + name + ";\n";
  return script + "  local: *;\n};\n";
}

static std::vector<std::string> lldArguments(const LinkOptions &options, const LibcFiles &libc,
                                             const std::vector<std::string> &archives) {
  const std::string &own = options.linkFiles;
  bool x86 = llvm::Triple(options.triple).getArch() == llvm::Triple::x86_64;
  // Written, not mapped: a mapped file on a full disk ends the process with a signal. LLD 22 has
  // the two words for it the wrong way round.
  std::vector<std::string> line = {"-m", x86 ? "elf_x86_64" : "aarch64linux", "--mmap-output-file"};
  std::vector<std::string> after;
  switch (options.artifact) {
  case Artifact::StaticLibrary:
    // Without groups: their names would tie our copies of inline functions to the user's.
    line.insert(line.end(), {"-r", "--force-group-allocation"});
    break;
  case Artifact::SharedLibrary:
    line.insert(line.end(), {"-shared", libc.folder + "/crti.o", own + "/crtbeginS.o"});
    after = {own + "/crtendS.o", libc.folder + "/crtn.o"};
    break;
  case Artifact::Executable:
    if (options.libc == LibcLink::Static)
      line.insert(line.end(), {"-static"});
    else
      line.insert(line.end(), {"--dynamic-linker", libc.dynamicLoader});
    line.insert(line.end(),
                {libc.folder + "/crt1.o", libc.folder + "/crti.o",
                 own + (options.libc == LibcLink::Static ? "/crtbeginT.o" : "/crtbegin.o")});
    after = {own + "/crtend.o", libc.folder + "/crtn.o"};
    break;
  }
  if (x86 && options.artifact != Artifact::StaticLibrary)
    line.insert(line.end(), {"-z", "lrodata-after-bss"}); // see embeddedWeightsSection
  line.insert(line.end(), options.objects.begin(), options.objects.end());
  line.push_back("--start-group");
  line.insert(line.end(), archives.begin(), archives.end());
  if (options.artifact == Artifact::Executable && options.libc == LibcLink::Static)
    line.insert(line.end(), {"-L" + libc.folder, "-lc", "-lm"});
  line.push_back("--end-group");
  if (options.artifact != Artifact::StaticLibrary && options.libc == LibcLink::Dynamic)
    line.insert(line.end(), {"-L" + libc.folder, "--as-needed", "-lc", "-lm"});
  line.insert(line.end(), after.begin(), after.end());
  return line;
}

/// The same for `cc`, which knows its own libc and start files.
static std::vector<std::string> driverArguments(const LinkOptions &options,
                                                const std::vector<std::string> &archives,
                                                const std::vector<std::string> &flags) {
  std::vector<std::string> line;
  switch (options.artifact) {
  case Artifact::StaticLibrary:
    line = {"-r", "-nostdlib", "-Wl,--force-group-allocation"};
    break;
  case Artifact::SharedLibrary:
    line = {"-shared"};
    break;
  case Artifact::Executable:
    line = {"-no-pie"};
    if (options.libc == LibcLink::Static)
      line.push_back("-static");
    break;
  }
  for (const std::string &flag : flags)
    line.insert(line.end(), {"-Xlinker", flag});
  line.insert(line.end(), options.objects.begin(), options.objects.end());
  line.push_back("-Wl,--start-group");
  line.insert(line.end(), archives.begin(), archives.end());
  line.push_back("-Wl,--end-group");
  if (options.artifact != Artifact::StaticLibrary)
    line.push_back("-lm");
  return line;
}

/// What a linker's messages mean: a full disk, or a mistake of ours.
static Status linkFailure(llvm::StringRef linker, llvm::StringRef messages) {
  bool lacksSpace = messages.contains("No space left") || messages.contains("File too large") ||
                    messages.contains("annot allocate memory");
  return {lacksSpace ? Code::Resource : Code::Internal,
          (linker + " failed: " + messages.trim()).str()};
}

static Status runLld(const std::vector<std::string> &arguments) {
  std::vector<const char *> pointers = {"ld.lld"};
  for (const std::string &argument : arguments)
    pointers.push_back(argument.c_str());
  std::string messages;
  llvm::raw_string_ostream stream(messages);
  lld::Result result = lld::lldMain(pointers, llvm::nulls(), stream, {{lld::Gnu, &lld::elf::link}});
  return result.retCode == 0 ? Status{} : linkFailure("lld", messages);
}

static Status runDriver(llvm::StringRef architecture, const std::vector<std::string> &arguments) {
  std::string name = isOwn(architecture) ? "cc" : (architecture + "-linux-gnu-gcc").str();
  llvm::ErrorOr<std::string> program = llvm::sys::findProgramByName(name);
  if (!program)
    return {Code::Usage, "--linker=cc: there is no '" + name +
                             "' on the path; install a C compiler or use --linker=lld"};
  Result<ScratchFile> log = ScratchFile::create(".log");
  if (!log.ok())
    return log.status();
  std::vector<llvm::StringRef> references = {*program};
  references.insert(references.end(), arguments.begin(), arguments.end());
  std::optional<llvm::StringRef> redirects[] = {"", log->path(), log->path()};
  std::string error;
  int status =
      llvm::sys::ExecuteAndWait(*program, references, std::nullopt, redirects, 0, 0, &error);
  if (status == 0)
    return {};
  llvm::ErrorOr<std::unique_ptr<llvm::MemoryBuffer>> text =
      llvm::MemoryBuffer::getFile(log->path());
  return linkFailure(*program, text && error.empty() ? (*text)->getBuffer() : error);
}

/// Makes every symbol of the object `file` local but for `names`, so that libraries made from two
/// models, or their user's own libstdc++, do not meet.
static Status localizeSymbols(const std::string &file, const std::vector<std::string> &names,
                              bool strip) {
  auto failure = [&](llvm::Error error) {
    return Status{Code::Internal,
                  "cannot rewrite '" + file + "': " + llvm::toString(std::move(error))};
  };
  llvm::objcopy::ConfigManager config;
  config.Common.InputFilename = config.Common.OutputFilename = file;
  config.Common.StripDebug = true;
  if (strip)
    config.Common.DiscardMode = llvm::objcopy::DiscardType::All;
  for (const std::string &name : names)
    if (llvm::Error error =
            config.Common.SymbolsToKeepGlobal.addMatcher(llvm::objcopy::NameOrPattern::create(
                name, llvm::objcopy::MatchStyle::Literal, [](llvm::Error error) { return error; })))
      return failure(std::move(error));
  llvm::Expected<llvm::object::OwningBinary<llvm::object::Binary>> binary =
      llvm::object::createBinary(file);
  if (!binary)
    return failure(binary.takeError());
  std::string bytes;
  llvm::raw_string_ostream stream(bytes);
  if (llvm::Error error =
          llvm::objcopy::executeObjcopyOnBinary(config, *binary->getBinary(), stream))
    return failure(std::move(error));
  return writeFile(file, bytes);
}

Status moec::link(const LinkOptions &request, const std::string &output) {
  LinkOptions options = request;
  if (options.artifact != Artifact::Executable)
    options.libc = LibcLink::Dynamic;
  Result<std::vector<std::string>> archives = listArchives(options.linkFiles);
  if (!archives.ok())
    return archives.status();
  if (options.libc == LibcLink::Dynamic) {
    Result<std::vector<std::string>> more = listArchives(options.linkFiles + "/dynamic");
    if (!more.ok())
      return more.status();
    archives->insert(archives->end(), more->begin(), more->end());
  }
  Result<std::vector<std::string>> exports = exportedNames(options.linkFiles);
  if (!exports.ok())
    return exports.status();
  std::vector<std::string> flags = commonFlags(options, *exports);

  std::optional<ScratchFile> script;
  if (options.artifact == Artifact::SharedLibrary) {
    Result<ScratchFile> made = ScratchFile::create(".ver");
    if (!made.ok())
      return made.status();
    script.emplace(std::move(*made));
    if (Status status = writeFile(script->path(), versionScript(*exports)); !status.ok())
      return status;
    flags.push_back("--version-script=" + script->path());
  }

  Status status;
  if (options.linker == Linker::Lld) {
    LibcFiles libc;
    if (options.artifact != Artifact::StaticLibrary) {
      Result<LibcFiles> found = findLibc(options.triple, options.libc);
      if (!found.ok())
        return found.status();
      libc = *found;
    }
    std::vector<std::string> line = lldArguments(options, libc, *archives);
    line.insert(line.end(), flags.begin(), flags.end());
    line.insert(line.end(), {"-o", output});
    status = runLld(line);
  } else {
    std::vector<std::string> line = driverArguments(options, *archives, flags);
    line.insert(line.end(), {"-o", output});
    status = runDriver(llvm::Triple(options.triple).getArchName(), line);
  }
  if (!status.ok() || options.artifact != Artifact::StaticLibrary)
    return status;
  return localizeSymbols(output, *exports, options.strip);
}

Status moec::makeArchive(const std::string &object, const std::string &output) {
  llvm::Expected<llvm::NewArchiveMember> member =
      llvm::NewArchiveMember::getFile(object, /*Deterministic=*/true);
  if (!member)
    return {Code::Internal, llvm::toString(member.takeError())};
  member->MemberName = "moec.o"; // bytes must not depend on where it lay
  std::vector<llvm::NewArchiveMember> members;
  members.push_back(std::move(*member));
  if (llvm::Error error =
          llvm::writeArchive(output, members, llvm::SymtabWritingMode::NormalSymtab,
                             llvm::object::Archive::K_GNU, /*Deterministic=*/true, /*Thin=*/false))
    return {Code::Resource,
            "cannot write the archive '" + output + "': " + llvm::toString(std::move(error))};
  return {};
}
