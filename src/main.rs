fn main() -> std::process::ExitCode {
    odometer::cli::main()
}
