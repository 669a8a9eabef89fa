select tenant_id, business_line, currency, open,
  cash_granted, cash_available, cash_pending, cash_posted, pv_granted, pv_available, pv_pending, pv_posted
from accounts
join budgets using (account_id)
order by tenant_id, business_line
