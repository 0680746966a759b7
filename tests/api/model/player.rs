//! One customer of the service, its counterpart in the model, and the random choices.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use fastrand::Rng;
use serde_json::{Value, json};

use super::rules::{Customer, Line, Prices, Refused, Subscription};
use crate::steps::all;
use crate::support::{Answer, Client};

const KINDS: [&str; 2] = ["dv", "ov"];

pub struct Player {
    pub model: Customer,
    /// The operations so far, for debugging.
    pub log: Vec<String>,
    client: Client,
    customer_id: String,
    product_id: String,
    /// The ids of the model's subscriptions.
    ids: Vec<String>,
    /// Open allocations: id, subscription, type and quantity.
    allocations: Vec<(String, usize, &'static str, i64)>,
    rng: Rng,
}

impl Player {
    pub fn new(client: &Client, customer_id: &str, product_id: &str, seed: u64) -> Self {
        Self {
            model: Customer::default(),
            log: vec![format!("seed {seed}")],
            client: client.clone(),
            customer_id: customer_id.to_owned(),
            product_id: product_id.to_owned(),
            ids: Vec::new(),
            allocations: Vec::new(),
            rng: Rng::with_seed(seed),
        }
    }

    /// Performs a few operations, each in the service and in the model.
    pub async fn act(&mut self, today: NaiveDate, prices: &Prices) {
        for _ in 0..self.rng.usize(2..6) {
            match self.rng.usize(0..14) {
                0 | 1 => self.add(today, prices).await,
                13 => self.move_invoice().await,
                which if !self.ids.is_empty() => {
                    let index = self.rng.usize(0..self.ids.len());
                    self.change(which, index, today, prices).await;
                }
                _ => self.add(today, prices).await,
            }
        }
    }

    async fn add(&mut self, today: NaiveDate, prices: &Prices) {
        let offset = self.rng.i64(-25..40);
        let start =
            if offset < 0 { today - Days::new(offset.unsigned_abs()) } else { today + Days::new(offset as u64) };
        let (months, auto_renew) = ([1, 12][self.rng.usize(0..2)], self.rng.u32(0..4) > 0);
        let mut lines = BTreeMap::new();
        for kind in KINDS {
            let renewal = (self.rng.u32(0..3) == 0).then(|| self.rng.i64(0..6));
            lines.insert(kind, Line { current: self.rng.i64(0..6), renewal, used: 0 });
        }
        lines.get_mut("dv").unwrap().current += 1;
        let inventory: Vec<_> = lines
            .iter()
            .map(|(kind, line)| {
                let mut item = json!({ "certificate_type": kind, "quantity": line.current });
                if let Some(renewal) = line.renewal {
                    item["renewal_quantity"] = json!(renewal);
                }
                item
            })
            .collect();
        let item = json!({
            "product_id": self.product_id, "term_months": months, "start_date": start, "auto_renew": auto_renew,
            "inventory": inventory,
        });
        let path = format!("/v1/customers/{}/subscriptions", self.customer_id);
        let added = self.client.post(&path, json!({ "subscriptions": [item] })).await.created();
        self.ids.push(added["subscriptions"][0]["id"].as_str().unwrap().to_owned());
        self.log.push(format!("add {item}"));
        self.model.add(today, Subscription::open(today, start, months, auto_renew, lines, prices));
    }

    async fn change(&mut self, which: usize, index: usize, today: NaiveDate, prices: &Prices) {
        let path = format!("/v1/subscriptions/{}", self.ids[index]);
        let (kind, quantity) = (KINDS[self.rng.usize(0..2)], self.rng.i64(1..4));
        let (client, model) = (&self.client, &mut self.model);
        let (what, answer, expected) = match which {
            2 | 3 => {
                let mut body = json!({ "lines": [{ "certificate_type": kind, "add": quantity }] });
                let preview = client.post(&format!("{path}/inventory/current/preview"), body.clone()).await;
                if let Some(digest) = preview.body.get("digest") {
                    body["digest"] = digest.clone();
                }
                let answer = client.post(&format!("{path}/inventory/current"), body).await;
                ("add_current", answer, model.add_current(index, today, kind, quantity))
            }
            4 => {
                let quantity = (self.rng.u32(0..3) > 0).then(|| self.rng.i64(0..6));
                let body = json!({ "lines": [{ "certificate_type": kind, "quantity": quantity }] });
                let answer = client.put(&format!("{path}/inventory/renewal"), body).await;
                ("set_renewal", answer, model.set_renewal(index, kind, quantity))
            }
            5 => {
                let reference = format!("{}", self.log.len());
                let body = json!({ "certificate_type": kind, "quantity": quantity, "reference": reference });
                let answer = client.post(&format!("{path}/allocations"), body).await;
                let expected = model.allocate(index, kind, quantity);
                if expected.is_ok() {
                    let id = answer.body["id"].as_str().unwrap_or_default().to_owned();
                    self.allocations.push((id, index, kind, quantity));
                }
                ("allocate", answer, expected)
            }
            6 => {
                let Some((id, index, kind, quantity)) = self.allocations.pop() else { return };
                let answer = client.act(&format!("/v1/allocations/{id}/release")).await;
                model.release(index, kind, quantity);
                ("release", answer, Ok(()))
            }
            7 | 8 => ("suspend", client.act(&format!("{path}/suspend")).await, model.suspend(index)),
            9 => ("enable", client.act(&format!("{path}/enable")).await, model.enable(index)),
            10 => ("cancel", client.act(&format!("{path}/cancel")).await, model.cancel(index)),
            11 => {
                let auto_renew = self.rng.bool();
                let answer = client.patch(&path, json!({ "auto_renew": auto_renew })).await;
                ("auto_renew", answer, model.set_auto_renew(index, auto_renew))
            }
            _ => ("renew", client.act(&format!("{path}/renew")).await, model.renew(index, today, prices)),
        };
        self.log.push(format!("{what} #{index} {kind} {quantity}: {expected:?}"));
        self.agree(&answer, expected);
    }

    async fn move_invoice(&mut self) {
        let invoices = self.invoices().await;
        if invoices.is_empty() {
            return;
        }
        let index = self.rng.usize(0..invoices.len());
        let action = ["mark-emailed", "mark-emailed", "mark-paid", "void"][self.rng.usize(0..4)];
        let id = invoices[index]["id"].as_str().unwrap();
        let answer = self.client.act(&format!("/v1/invoices/{id}/{action}")).await;
        let expected = self.model.move_invoice(index, action);
        self.log.push(format!("{action} invoice #{index}: {expected:?}"));
        self.agree(&answer, expected);
    }

    /// The oldest comes first, as in the model.
    async fn invoices(&self) -> Vec<Value> {
        let mut invoices = all(&self.client, &format!("/v1/invoices?customer_id={}", self.customer_id)).await;
        invoices.reverse();
        invoices
    }

    fn agree(&self, answer: &Answer, expected: Result<(), Refused>) {
        let refused = answer.body["code"].as_str().filter(|_| answer.status >= 400);
        assert_eq!(refused, expected.err(), "{}\n{}", answer.body, self.log.join("\n"));
    }

    /// Checks that the service shows the customer exactly as the model has it.
    pub async fn compare(&self, today: NaiveDate) {
        let context = || format!("on {today}, after\n{}", self.log.join("\n"));
        for (index, (id, model)) in self.ids.iter().zip(&self.model.subscriptions).enumerate() {
            let real = self.client.get(&format!("/v1/subscriptions/{id}")).await.ok();
            let lines: BTreeMap<_, _> = real["inventory"].as_array().unwrap().iter().map(line).collect();
            let model_lines = model.lines.iter().map(|(kind, line)| ((*kind).to_owned(), *line)).collect();
            assert_eq!(lines, model_lines, "#{index} {}", context());
            let says = |it: &Subscription| json!([it.status, it.lapsed, it.auto_renew, it.number, it.start, it.end]);
            let term = &real["term"];
            let real = json!([
                real["status"],
                real["lapsed"],
                real["auto_renew"],
                term["number"],
                term["start_date"],
                term["end_date"]
            ]);
            assert_eq!(real, says(model), "#{index} {}", context());
        }
        let charges = all(&self.client, &format!("/v1/charges?customer_id={}", self.customer_id)).await;
        let index = |id: &Value| self.ids.iter().position(|known| *id == **known).unwrap();
        let mut charges: Vec<_> = charges
            .iter()
            .map(|it| {
                let (kind, amount) = (&it["certificate_type"], &it["amount"]["amount"]);
                json!([index(&it["subscription_id"]), kind, amount, it["due_date"], it["status"]]).to_string()
            })
            .collect();
        let model = self.model.charges.iter();
        let mut expected: Vec<_> =
            model.map(|it| json!([it.subscription, it.kind, it.amount, it.due, it.status]).to_string()).collect();
        charges.sort();
        expected.sort();
        assert_eq!(charges, expected, "{}", context());

        let invoices: Vec<_> = self
            .invoices()
            .await
            .iter()
            .map(|it| json!([it["status"], it["total"]["amount"], it["line_count"]]))
            .collect();
        let total = |charges: &[usize]| charges.iter().map(|charge| self.model.charges[*charge].amount).sum::<i64>();
        let model = self.model.invoices.iter();
        let expected: Vec<_> = model.map(|it| json!([it.status, total(&it.charges), it.charges.len()])).collect();
        assert_eq!(invoices, expected, "{}", context());
    }
}

fn line(line: &Value) -> (String, Line) {
    let current = &line["current"];
    let number = |value: &Value| value.as_i64();
    let (quantity, used) = (number(&current["quantity"]).unwrap(), number(&current["used"]).unwrap());
    let line_of = Line { current: quantity, renewal: number(&line["renewal"]["quantity"]), used };
    (line["certificate_type"].as_str().unwrap().to_owned(), line_of)
}
