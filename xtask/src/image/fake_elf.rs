//! ELF files made by hand for tests: exactly the headers asked for, right or wrong.

use object::LittleEndian as LE;
use object::elf::{FileHeader64, Ident, ProgramHeader64, SectionHeader64, Sym64};
use object::pod::bytes_of;
use object::{U16, U32, U64};

/// A segment, whose file bytes are `data`.
#[derive(Clone)]
pub struct FakeSegment {
    pub base: u64,
    pub data: Vec<u8>,
    pub size: u64,
    pub flags: u32,
}

/// A symbol; in no section unless one is named.
#[derive(Clone)]
pub struct FakeSymbol {
    pub name: String,
    pub value: u64,
    pub section: Option<String>,
}

#[derive(Clone)]
struct FakeSection {
    name: String,
    kind: u32,
    flags: u64,
    address: u64,
    size: u64,
}

/// A file to be.
#[derive(Clone)]
pub struct FakeElf {
    pub entry: u64,
    pub machine: u16,
    pub kind: u16,
    pub segments: Vec<FakeSegment>,
    pub symbols: Vec<FakeSymbol>,
    pub extra_header: Option<u32>,
    /// Added to the physical addresses of segments.
    pub physical_offset: u64,
    sections: Vec<FakeSection>,
}

impl FakeElf {
    pub fn new(entry: u64) -> Self {
        Self {
            entry,
            machine: 183,
            kind: 2,
            segments: Vec::new(),
            symbols: Vec::new(),
            extra_header: None,
            physical_offset: 0,
            sections: Vec::new(),
        }
    }

    pub fn segment(mut self, segment: FakeSegment) -> Self {
        self.segments.push(segment);
        self
    }

    pub fn symbol(mut self, name: &str, value: u64, section: Option<&str>) -> Self {
        self.add_symbol(name, value, section);
        self
    }

    pub fn add_symbol(&mut self, name: &str, value: u64, section: Option<&str>) {
        self.symbols.push(FakeSymbol { name: name.into(), value, section: section.map(Into::into) });
    }

    pub fn add_section(&mut self, name: &str, kind: u32, flags: u64, address: u64, size: u64) {
        self.sections.push(FakeSection { name: name.into(), kind, flags, address, size });
    }

    /// The file: header, program headers, segments, symbols, strings, section headers.
    pub fn bytes(&self) -> Vec<u8> {
        let header_count = self.segments.len() + usize::from(self.extra_header.is_some());
        let mut body = vec![0; 64 + 56 * header_count];
        let empty = FakeSegment { base: 0x30_0000, data: Vec::new(), size: 0, flags: 4 };
        let extra = self.extra_header.map(|kind| program_header(kind, 0, &empty, 0));
        let mut headers: Vec<_> = extra.into_iter().collect();
        for segment in &self.segments {
            headers.push(program_header(1, body.len() as u64, segment, self.physical_offset));
            body.extend_from_slice(&segment.data);
        }
        let mut strings = vec![0u8];
        let symbols = self.symbol_table(&mut strings);
        let symbol_offset = body.len() as u64;
        body.extend_from_slice(&symbols);
        let mut sections = self.section_table(&mut strings);
        let strings_index = sections.len() as u32 + 1;
        let mut table =
            section_header(intern(&mut strings, ".symtab"), 2, 0, 0, (symbol_offset, symbols.len() as u64));
        table.sh_link = U32::new(LE, strings_index);
        table.sh_entsize = U64::new(LE, 24);
        sections.push(table);
        let name = intern(&mut strings, ".strtab");
        sections.push(section_header(name, 3, 0, 0, (body.len() as u64, strings.len() as u64)));
        body.extend_from_slice(&strings);
        let section_offset = body.len() as u64;
        for section in &sections {
            body.extend_from_slice(bytes_of(section));
        }
        let header = self.file_header(header_count as u16, section_offset, sections.len() as u16);
        body[..64].copy_from_slice(bytes_of(&header));
        for (index, header) in headers.iter().enumerate() {
            body[64 + 56 * index..][..56].copy_from_slice(bytes_of(header));
        }
        body
    }

    /// The null section and those that were asked for. Their contents do not matter to the flattener, which reads them
    /// from the segments.
    fn section_table(&self, strings: &mut Vec<u8>) -> Vec<SectionHeader64<LE>> {
        let header = |section: &FakeSection| {
            let name = intern(strings, &section.name);
            section_header(name, section.kind, section.flags, section.address, (0, section.size))
        };
        let mut sections = vec![section_header(0, 0, 0, 0, (0, 0))];
        sections.extend(self.sections.iter().map(header));
        sections
    }

    fn symbol_table(&self, strings: &mut Vec<u8>) -> Vec<u8> {
        let mut table = vec![0; 24];
        for symbol in &self.symbols {
            let index =
                self.sections.iter().position(|section| Some(&section.name) == symbol.section.as_ref());
            let entry = Sym64 {
                st_name: U32::new(LE, intern(strings, &symbol.name)),
                st_info: 0x10,
                st_other: 0,
                st_shndx: U16::new(LE, index.map_or(object::elf::SHN_ABS, |index| index as u16 + 1)),
                st_value: U64::new(LE, symbol.value),
                st_size: U64::new(LE, 0),
            };
            table.extend_from_slice(bytes_of(&entry));
        }
        table
    }

    fn file_header(&self, programs: u16, section_offset: u64, sections: u16) -> FileHeader64<LE> {
        FileHeader64 {
            e_ident: Ident {
                magic: object::elf::ELFMAG,
                class: 2,
                data: 1,
                version: 1,
                os_abi: 0,
                abi_version: 0,
                padding: [0; 7],
            },
            e_type: U16::new(LE, self.kind),
            e_machine: U16::new(LE, self.machine),
            e_version: U32::new(LE, 1),
            e_entry: U64::new(LE, self.entry),
            e_phoff: U64::new(LE, 64),
            e_shoff: U64::new(LE, section_offset),
            e_flags: U32::new(LE, 0),
            e_ehsize: U16::new(LE, 64),
            e_phentsize: U16::new(LE, 56),
            e_phnum: U16::new(LE, programs),
            e_shentsize: U16::new(LE, 64),
            e_shnum: U16::new(LE, sections),
            e_shstrndx: U16::new(LE, sections - 1),
        }
    }
}

fn intern(strings: &mut Vec<u8>, text: &str) -> u32 {
    let at = strings.len() as u32;
    strings.extend_from_slice(text.as_bytes());
    strings.push(0);
    at
}

fn program_header(kind: u32, offset: u64, segment: &FakeSegment, physical: u64) -> ProgramHeader64<LE> {
    ProgramHeader64 {
        p_type: U32::new(LE, kind),
        p_flags: U32::new(LE, segment.flags),
        p_offset: U64::new(LE, offset),
        p_vaddr: U64::new(LE, segment.base),
        p_paddr: U64::new(LE, segment.base.wrapping_add(physical)),
        p_filesz: U64::new(LE, segment.data.len() as u64),
        p_memsz: U64::new(LE, segment.size),
        p_align: U64::new(LE, 1),
    }
}

fn section_header(
    name: u32,
    kind: u32,
    flags: u64,
    address: u64,
    (offset, size): (u64, u64),
) -> SectionHeader64<LE> {
    SectionHeader64 {
        sh_name: U32::new(LE, name),
        sh_type: U32::new(LE, kind),
        sh_flags: U64::new(LE, flags),
        sh_addr: U64::new(LE, address),
        sh_offset: U64::new(LE, offset),
        sh_size: U64::new(LE, size),
        sh_link: U32::new(LE, 0),
        sh_info: U32::new(LE, 0),
        sh_addralign: U64::new(LE, 1),
        sh_entsize: U64::new(LE, 0),
    }
}
