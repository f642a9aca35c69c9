// Moves the weights' section to the end of an ELF file and gives it its true size there.

#include "compiler/emit/EmbeddedWeights.h"
#include "compiler/emit/ProgramData.h"
#include "runtime/core/AtomicFile.h"

#include "llvm/BinaryFormat/ELF.h"
#include "llvm/Support/MathExtras.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

using namespace moec;
namespace elf = llvm::ELF;

namespace {

constexpr uint64_t pageBytes = 4096;

/// An open file, closed at the end of the scope.
struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0)
      ::close(number);
  }
};

} // namespace

static bool readAt(int file, void *to, size_t bytes, uint64_t offset) {
  return ::pread(file, to, bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes);
}

static bool writeAt(int file, const void *from, size_t bytes, uint64_t offset) {
  return ::pwrite(file, from, bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes);
}

Result<uint64_t> moec::openEmbeddedWeights(const std::string &path, uint64_t bytes) {
  Descriptor file{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
  struct stat info;
  if (file.number < 0 || ::fstat(file.number, &info) != 0)
    return outputFailure(errno, path, "cannot be opened");
  auto unexpected = [&](std::string_view what) {
    return Status{Code::Internal, "the linked file '" + path + "' " + std::string(what) +
                                      "; try --weights=pack or the other --linker"};
  };

  elf::Elf64_Ehdr header;
  if (!readAt(file.number, &header, sizeof(header), 0) || !header.checkMagic() ||
      header.e_shentsize != sizeof(elf::Elf64_Shdr) || header.e_shstrndx >= header.e_shnum)
    return unexpected("is no ELF file with sections");
  std::vector<elf::Elf64_Shdr> sections(header.e_shnum);
  if (!readAt(file.number, sections.data(), sections.size() * sizeof(elf::Elf64_Shdr),
              header.e_shoff))
    return unexpected("ends within its section table");
  const elf::Elf64_Shdr &nameTable = sections[header.e_shstrndx];
  std::string names(nameTable.sh_size, '\0');
  if (!readAt(file.number, names.data(), names.size(), nameTable.sh_offset))
    return unexpected("ends within its section names");

  size_t index = 1;
  while (index < sections.size() &&
         (sections[index].sh_name >= names.size() ||
          embeddedWeightsSection != names.c_str() + sections[index].sh_name))
    ++index;
  if (index >= sections.size())
    return unexpected("has no section for the weights");
  elf::Elf64_Shdr &section = sections[index];
  uint64_t address = section.sh_addr;
  // GNU's linker starts the section anywhere; the weights begin at its first page.
  uint64_t padding = llvm::alignTo(address, pageBytes) - address;
  uint64_t offset = llvm::alignTo(static_cast<uint64_t>(info.st_size) + padding, pageBytes);

  // A relocatable file has no segments; in a program the weights need a last one of their own.
  if (header.e_type != elf::ET_REL) {
    std::vector<elf::Elf64_Phdr> segments(header.e_phnum);
    if (!readAt(file.number, segments.data(), segments.size() * sizeof(elf::Elf64_Phdr),
                header.e_phoff))
      return unexpected("ends within its program headers");
    elf::Elf64_Phdr *own = nullptr;
    for (elf::Elf64_Phdr &segment : segments) {
      if (segment.p_type != elf::PT_LOAD)
        continue;
      if (segment.p_vaddr == address && segment.p_memsz == section.sh_size)
        own = &segment;
      else if (segment.p_vaddr + segment.p_memsz > address)
        return unexpected("has other data behind the weights");
    }
    if (!own || own->p_align > pageBytes)
      return unexpected("has no segment of its own for the weights");
    own->p_offset = offset - padding;
    own->p_filesz = own->p_memsz = padding + bytes;
    if (!writeAt(file.number, segments.data(), segments.size() * sizeof(elf::Elf64_Phdr),
                 header.e_phoff))
      return outputFailure(errno, path);
  }
  section.sh_offset = offset - padding;
  section.sh_size = padding + bytes;
  if (!writeAt(file.number, sections.data(), sections.size() * sizeof(elf::Elf64_Shdr),
               header.e_shoff) ||
      ::ftruncate(file.number, static_cast<off_t>(offset + bytes)) != 0)
    return outputFailure(errno, path);
  return offset;
}
