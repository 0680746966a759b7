fn main() {
    println!("cargo:rerun-if-changed=openapi.json");
    let spec = serde_json::from_reader(std::fs::File::open("openapi.json").unwrap()).unwrap();
    let mut settings = progenitor::GenerationSettings::default();
    settings.with_interface(progenitor::InterfaceStyle::Builder);
    let tokens = progenitor::Generator::new(&settings).generate_tokens(&spec).unwrap();
    std::fs::write("src/client.rs", prettyplease::unparse(&syn::parse2(tokens).unwrap())).unwrap();
}
