//! `tidewater simulate`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::signals;
use crate::config;
use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::output;
use crate::simulate::{self, CodeOptions, GatewayAddress, Options, ShopperOptions, Size};

/// How large the shop is, and how it lives.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SimulateArguments {
    /// Row changes per second.
    #[arg(long, default_value_t = 50, value_name = "CHANGES",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// End after so many seconds; without it the shop lives until it is stopped.
    #[arg(long, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    seconds: Option<u64>,
    /// What happens follows from it and from what the tables hold.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Let the rate follow the hours of a day and the days of a week (UTC), its mean still the one given, and what is
    /// bought the season; a shop that is filled now has such a past.
    #[arg(long)]
    rhythm: bool,
    /// Connections that write; each has some of the stores.
    #[arg(long, default_value_t = 4, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    connections: u32,
    /// Events of shoppers per second, posted to the gateway; 0: none.
    #[arg(long, default_value_t = 0, value_name = "EVENTS",
          value_parser = clap::value_parser!(u32).range(0..=100_000))]
    shoppers: u32,
    #[command(flatten)]
    gateway: GatewayArguments,
    /// How soon shoppers use their codes, where [kafka] is configured: after this time half of those who do have
    /// done so; off: nobody does.
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = response)]
    response_half_life: Response,
    /// Create and fill what is missing, and end.
    #[arg(long)]
    setup_only: bool,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    size: SizeArguments,
}

/// Where events are posted; without it as the configuration says.
#[derive(Clone, Debug, Args)]
struct GatewayArguments {
    /// URL of the gateway [configuration: simulate.gateway_url].
    #[arg(long = "gateway", value_name = "URL", value_parser = http_url)]
    url: Option<String>,
    /// File that holds a key with the scope events:write [configuration: simulate.gateway_key].
    #[arg(long = "gateway-key-file", value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// How soon shoppers use their codes, if they do.
#[derive(Clone, Copy, Debug)]
struct Response(Option<Duration>);

fn response(text: &str) -> Result<Response, String> {
    if text == "off" {
        return Ok(Response(None));
    }
    let half_life = config::duration(text).filter(|half_life| !half_life.is_zero());
    let half_life = half_life
        .ok_or_else(|| "it may be a time above 0, such as 20s or 1h, or off".to_owned())?;
    Ok(Response(Some(half_life)))
}

fn http_url(text: &str) -> Result<String, String> {
    config::http_url(text).ok_or_else(|| "it may be an http:// or https:// URL".to_owned())
}

/// The size of a shop that is filled now; one that has stores already keeps its own.
#[derive(Clone, Copy, Debug, Args)]
struct SizeArguments {
    /// Stores of a new shop.
    #[arg(long, default_value_t = Size::default().stores, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(Size::STORES_MAX)))]
    stores: u32,
    /// Products of a new shop.
    #[arg(long, default_value_t = Size::default().products, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(Size::PRODUCTS_MAX)))]
    products: u32,
    /// Customers of a new shop.
    #[arg(long, default_value_t = Size::default().customers, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(Size::CUSTOMERS_MAX)))]
    customers: u32,
    /// Weeks of past orders of a new shop.
    #[arg(long, default_value_t = Size::default().weeks, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(0..=i64::from(Size::WEEKS_MAX)))]
    weeks: u32,
}

const EXAMPLES: &str = "\
Examples:
  tidewater simulate --setup-only           create the shop's tables and its past
  tidewater simulate --rate 500             live until Ctrl-C, 500 row changes a second
  tidewater simulate --rate 20 --rhythm     quiet nights, busy Saturdays
  tidewater simulate --seconds 60 --json    one minute, then a summary for a program
  tidewater simulate --shoppers 20 --gateway-key-file key
                                            shoppers' events too, 20 a second, to the gateway
  tidewater simulate --response-half-life 20s
                                            shoppers who use their codes within a minute";

/// Sets the shop up, and lives.
pub(super) async fn run(
    settings: &Settings,
    arguments: &SimulateArguments,
) -> Result<ExitCode, Failure> {
    let source = settings.source.as_ref();
    let source = &source.ok_or(simulate::Error::Unconfigured)?.connection;
    let size = Size {
        stores: arguments.size.stores,
        products: arguments.size.products,
        customers: arguments.size.customers,
        weeks: arguments.size.weeks,
    };
    let shoppers = shoppers(settings, arguments)?;
    let setup = simulate::set_up(source, size, arguments.seed, arguments.rhythm).await?;
    if arguments.setup_only {
        if arguments.json {
            output::json(&setup);
        } else {
            output::line(setup.to_string());
        }
        return Ok(ExitCode::Success);
    }
    tracing::info!("{setup}");
    let options = Options {
        rate: arguments.rate,
        duration: arguments.seconds.map(Duration::from_secs),
        connections: arguments.connections,
        seed: arguments.seed,
        rhythm: arguments.rhythm,
        shoppers,
        codes: codes(settings, arguments),
    };
    let stop = CancellationToken::new();
    let mut background = JoinSet::new();
    background.spawn(signals::cancel_on_signal(stop.clone()));
    let summary = Box::pin(simulate::live(source, &options, stop)).await?;
    background.shutdown().await;
    if arguments.json {
        output::json(&summary);
    } else {
        output::line(summary.to_string());
    }
    Ok(ExitCode::Success)
}

/// Where codes are read, and how soon they are used.
fn codes(settings: &Settings, arguments: &SimulateArguments) -> Option<CodeOptions> {
    Some(CodeOptions {
        kafka: settings.kafka.clone()?,
        half_life: arguments.response_half_life.0?,
    })
}

/// Who posts events, and where; the arguments go before the configuration.
fn shoppers(
    settings: &Settings,
    arguments: &SimulateArguments,
) -> Result<Option<ShopperOptions>, simulate::Error> {
    if arguments.shoppers == 0 {
        return Ok(None);
    }
    let GatewayArguments { url, key_file } = &arguments.gateway;
    let key = match key_file {
        Some(file) => {
            let unreadable = |source| simulate::Error::KeyFile {
                file: file.display().to_string(),
                source,
            };
            Some(std::fs::read_to_string(file).map_err(unreadable)?)
        }
        None => settings.simulate.gateway_key.clone(),
    };
    let key = key.map(|key| key.trim().to_owned());
    let key = key.filter(|key| !key.is_empty());
    let url = url.as_ref().unwrap_or(&settings.simulate.gateway_url);
    Ok(Some(ShopperOptions {
        rate: arguments.shoppers,
        gateway: GatewayAddress {
            url: url.clone(),
            key: key.ok_or(simulate::Error::NoKey)?,
        },
    }))
}
