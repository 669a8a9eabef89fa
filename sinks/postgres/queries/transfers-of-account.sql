select t.transfer_id, t.kind, a.tenant_id, a.business_line, f.business_line as from_line, a.currency, t.cash, t.units,
  t.actor, t.note, t.created_at, t.cash_left, t.units_left, t.from_cash_left, t.from_units_left
from accounts named
join transfers t on t.account_id = named.account_id or t.from_account_id = named.account_id
join accounts a on a.account_id = t.account_id
left join accounts f on f.account_id = t.from_account_id
where named.tenant_id = $1 and named.business_line = $2
order by t.created_at desc, t.transfer_id
limit $3
