import java.sql.*;
import java.util.*;

public class Jdbc {
    static String[] args;
    static Connection connect(String ca) throws Exception {
        Properties p = new Properties();
        p.setProperty("user", "x+orders-db"); p.setProperty("password", args[1]);
        p.setProperty("useSsl", "true"); p.setProperty("serverSslCert", ca);
        p.setProperty("useServerPrepStmts", "true");
        return DriverManager.getConnection("jdbc:mariadb://localhost:" + args[0] + "/orders", p);
    }
    interface Case { void run() throws Exception; }
    static void is(Object got, Object wanted) {
        if (!got.equals(wanted)) throw new RuntimeException(got + " is not " + wanted);
    }
    static String one(Statement s, String sql) throws Exception {
        try (ResultSet r = s.executeQuery(sql)) { r.next(); return r.getString(1); }
    }
    public static void main(String[] given) throws Exception {
        args = given;
        Connection c = connect(args[2]);
        Statement s = c.createStatement();
        Map<String, Case> cases = new LinkedHashMap<>();
        cases.put("login", () -> is(one(s, "select 1"), "1"));
        cases.put("prepared", () -> {
            PreparedStatement p = c.prepareStatement("select ? + 1");
            for (int n = 0; n < 20; n++) {
                p.setInt(1, n);
                try (ResultSet r = p.executeQuery()) { r.next(); is(r.getInt(1), n + 1); }
            }
        });
        cases.put("large", () -> is(one(s, "select repeat('z', 8388608)").length(), 8388608));
        cases.put("cancel", () -> {
            new Timer(true).schedule(new TimerTask() {
                public void run() { try { s.cancel(); } catch (SQLException e) { throw new RuntimeException(e); } }
            }, 1000);
            long began = System.currentTimeMillis();
            try { is(one(s, "select sleep(60)"), "1"); }
            catch (SQLException e) { is(e.getErrorCode(), 1317); }
            is(System.currentTimeMillis() - began < 20000, true);
            is(one(s, "select 1"), "1");
        });
        cases.put("verify-full", () -> {
            try { connect(args[3]); }
            catch (SQLException e) {
                String why = "";
                for (Throwable t = e; t != null; t = t.getCause()) why += t;
                is(why.matches("(?is).*(certificat|trust|PKIX).*"), true);
                return;
            }
            throw new RuntimeException("trusted");
        });
        for (Map.Entry<String, Case> one : cases.entrySet()) {
            try { one.getValue().run(); System.out.println(one.getKey() + " ok"); }
            catch (Throwable e) { System.out.println(one.getKey() + " failed: " + e); }
        }
        System.exit(0);
    }
}
