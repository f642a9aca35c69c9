// Writes a relocatable ELF file by hand: a few read-only sections, one symbol per blob.

#include "compiler/emit/ProgramData.h"

#include "llvm/BinaryFormat/ELF.h"
#include "llvm/Support/Alignment.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/TargetParser/Triple.h"

#include <cstring>
#include <vector>

using namespace moec;
namespace elf = llvm::ELF;

namespace {

constexpr uint64_t pageBytes = 4096;

/// Collects sections and global symbols, then lays them out as one file.
class ObjectWriter {
public:
  explicit ObjectWriter(uint16_t machine) : machine(machine) {
    sections.push_back({}); // section 0 is none
    symbols.push_back({});  // and so is symbol 0
  }

  /// Adds a section with one symbol at its start.
  void addData(std::string_view section, std::string_view symbol, std::string_view bytes,
               uint64_t alignment, uint64_t flags) {
    elf::Elf64_Sym entry{};
    entry.st_name = addName(symbolNames, symbol);
    entry.setBindingAndType(elf::STB_GLOBAL, elf::STT_OBJECT);
    entry.st_shndx = static_cast<uint16_t>(sections.size());
    entry.st_size = bytes.size();
    symbols.push_back(entry);
    addSection(section, elf::SHT_PROGBITS, flags, alignment, 0, bytes);
  }

  std::string finish() {
    addSection(".note.GNU-stack", elf::SHT_PROGBITS, 0, 1, 0, {});
    std::string table(reinterpret_cast<const char *>(symbols.data()),
                      symbols.size() * sizeof(elf::Elf64_Sym));
    addSection(".symtab", elf::SHT_SYMTAB, 0, 8, sizeof(elf::Elf64_Sym), table);
    sections.back().header.sh_link = static_cast<uint32_t>(sections.size()); // .strtab is next
    sections.back().header.sh_info = 1; // the first global symbol
    addSection(".strtab", elf::SHT_STRTAB, 0, 1, 0, symbolNames);
    addName(sectionNames, ".shstrtab");
    addSection(".shstrtab", elf::SHT_STRTAB, 0, 1, 0, sectionNames);
    return layOut();
  }

private:
  struct Section {
    elf::Elf64_Shdr header{};
    std::string bytes;
  };

  static uint32_t addName(std::string &names, std::string_view name) {
    size_t found = names.find(std::string(1, '\0') + std::string(name) + '\0');
    if (found != std::string::npos)
      return static_cast<uint32_t>(found + 1);
    uint32_t offset = static_cast<uint32_t>(names.size());
    names.append(name).push_back('\0');
    return offset;
  }

  void addSection(std::string_view name, uint32_t type, uint64_t flags, uint64_t alignment,
                  uint64_t entryBytes, std::string_view bytes) {
    Section section;
    section.header.sh_name = addName(sectionNames, name);
    section.header.sh_type = type;
    section.header.sh_flags = flags;
    section.header.sh_addralign = alignment;
    section.header.sh_entsize = entryBytes;
    section.bytes = bytes;
    sections.push_back(std::move(section));
  }

  std::string layOut() {
    std::string file(sizeof(elf::Elf64_Ehdr), '\0');
    for (size_t index = 1; index < sections.size(); ++index) {
      Section &section = sections[index];
      file.resize(llvm::alignTo(file.size(), section.header.sh_addralign), '\0');
      section.header.sh_offset = file.size();
      section.header.sh_size = section.bytes.size();
      file += section.bytes;
    }
    file.resize(llvm::alignTo(file.size(), 8), '\0');

    elf::Elf64_Ehdr header{};
    std::memcpy(header.e_ident, elf::ElfMagic, 4);
    header.e_ident[elf::EI_CLASS] = elf::ELFCLASS64;
    header.e_ident[elf::EI_DATA] = elf::ELFDATA2LSB;
    header.e_ident[elf::EI_VERSION] = elf::EV_CURRENT;
    header.e_type = elf::ET_REL;
    header.e_machine = machine;
    header.e_version = elf::EV_CURRENT;
    header.e_shoff = file.size();
    header.e_ehsize = sizeof(elf::Elf64_Ehdr);
    header.e_shentsize = sizeof(elf::Elf64_Shdr);
    header.e_shnum = static_cast<uint16_t>(sections.size());
    header.e_shstrndx = static_cast<uint16_t>(sections.size() - 1);
    std::memcpy(file.data(), &header, sizeof(header));
    for (const Section &section : sections)
      file.append(reinterpret_cast<const char *>(&section.header), sizeof(elf::Elf64_Shdr));
    return file;
  }

  uint16_t machine;
  std::vector<Section> sections;
  std::vector<elf::Elf64_Sym> symbols;
  std::string sectionNames = std::string(1, '\0');
  std::string symbolNames = std::string(1, '\0');
};

} // namespace

Result<std::string> moec::makeProgramDataObject(const ProgramData &data,
                                                std::string_view tripleText) {
  llvm::Triple triple{llvm::StringRef(tripleText)};
  bool x86 = triple.getArch() == llvm::Triple::x86_64;
  if (!x86 && triple.getArch() != llvm::Triple::aarch64)
    return Status{Code::Unsupported, "no object file for '" + std::string(tripleText) +
                                         "'; wanted x86_64 or aarch64 Linux"};

  ObjectWriter writer(x86 ? elf::EM_X86_64 : elf::EM_AARCH64);
  auto add = [&](const std::string &name, std::string_view bytes, uint64_t alignment) {
    // A symbol must lie in its section even where there is nothing to say.
    std::string_view present = bytes.empty() ? std::string_view("\0", 1) : bytes;
    writer.addData(".rodata.moec." + name, "moec_program_" + name, present, alignment,
                   elf::SHF_ALLOC);
    uint64_t size = bytes.size();
    writer.addData(".rodata.moec." + name + "_size", "moec_program_" + name + "_size",
                   {reinterpret_cast<const char *>(&size), sizeof(size)}, 8, elf::SHF_ALLOC);
  };
  add("manifest", data.manifest, 1);
  add("tokenizer", data.tokenizer, 64);
  add("template", data.chatTemplate, 1);
  add("generation", data.generation, 1);

  uint64_t weightBytes = data.embeddedWeightBytes;
  writer.addData(".rodata.moec.weights_size", "moec_program_weights_size",
                 {reinterpret_cast<const char *>(&weightBytes), sizeof(weightBytes)}, 8,
                 elf::SHF_ALLOC);
  if (weightBytes == 0)
    writer.addData(".rodata.moec.weights", "moec_program_weights", std::string_view("\0", 1), 1,
                   elf::SHF_ALLOC);
  else
    writer.addData(embeddedWeightsSection, "moec_program_weights", std::string(pageBytes, '\0'),
                   pageBytes, elf::SHF_ALLOC | (x86 ? uint64_t(elf::SHF_X86_64_LARGE) : 0));
  return writer.finish();
}
