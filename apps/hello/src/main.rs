//! A program for a spare slot: shows the beginning of a file.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use program::{Arguments, File, println};

program::program!(main);

fn main(arguments: &Arguments) -> Result<(), String> {
    let path = arguments.iter().next().unwrap_or("/hello.txt");
    let mut file = File::open(path)?;
    let mut buffer = [0; 64];
    let count = file.read(&mut buffer)?;
    println!("{path} begins with {:?}", String::from_utf8_lossy(&buffer[..count]));
    Ok(())
}
